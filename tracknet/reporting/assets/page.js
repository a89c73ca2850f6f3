// Colours by system or by choice, the current section, and what starts the rest.
function repaint() {
  readPalette();
  paintStrips();
  paintTrace();
  paintSketches();
  if (!byId("map-figure").hidden) drawMap(byId("map"));
}

function startTheme() {
  const button = byId("theme");
  // A page opened from disk may be denied a store; then a choice lasts as long as the page.
  const kept = { read: () => { try { return localStorage.getItem("tracknet-theme"); } catch { return null; } },
    write: (value) => { try { localStorage.setItem("tracknet-theme", value); } catch { /* denied */ } } };
  const marks = { auto: "◐", light: "☀", dark: "☾" };
  const show = (theme) => {
    document.documentElement.dataset.theme = theme;
    button.replaceChildren(`${marks[theme]} `, element("span", { textContent: theme }));
    button.setAttribute("aria-label", `Colours: ${theme === "auto" ? "as the system" : theme}. Change`);
  };
  show(marks[kept.read()] ? kept.read() : "auto");
  button.addEventListener("click", () => {
    const order = Object.keys(marks);
    const next = order[(order.indexOf(document.documentElement.dataset.theme) + 1) % order.length];
    kept.write(next);
    show(next);
    repaint();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
}

function startSections() {
  const links = new Map([...document.querySelectorAll(".sections a")].map((link) => [link.hash.slice(1), link]));
  const watch = new IntersectionObserver((seen) => {
    for (const { target, isIntersecting } of seen) {
      if (!isIntersecting) continue;
      for (const link of links.values()) link.removeAttribute("aria-current");
      const link = links.get(target.id);
      link.setAttribute("aria-current", "true");
      // On a phone the links scroll sideways: the current one is kept in view.
      const row = link.parentElement;
      row.scrollLeft = link.offsetLeft - (row.clientWidth - link.offsetWidth) / 2;
    }
  }, { rootMargin: "-25% 0px -70% 0px" });
  for (const id of links.keys()) watch.observe(byId(id));
}

startTheme();
readPalette();
for (const table of document.querySelectorAll("table.sortable")) makeSortable(table);
startTimeline();
startFrames();
startSections();
if (!byId("map-figure").hidden) drawMap(byId("map"));
let width = innerWidth;
addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; repaint(); } });
addEventListener("beforeprint", repaint);
addEventListener("afterprint", repaint);
