// The frames worth a look: filter, sort, and the box that shows one large.
const FRAMES_A_PAGE = 36;
const gallery = { kind: null, shown: FRAMES_A_PAGE, listed: [] };
const box = { list: [], at: 0 };

const RIGHT = [FOUND, EMPTY];
const wins = {
  a: (entry) => RIGHT.includes(entry.outcome) && !RIGHT.includes(entry.clip.otherOutcome(entry.place)),
  b: (entry) => !RIGHT.includes(entry.outcome) && RIGHT.includes(entry.clip.otherOutcome(entry.place)),
};
const last = -Infinity;
const SORTS = {
  worst: (a, b) => a.order - b.order,
  error: (a, b) => (b.error ?? last) - (a.error ?? last) || a.order - b.order,
  score: (a, b) => (b.score ?? last) - (a.score ?? last) || a.order - b.order,
  unsure: (a, b) => (a.score ?? 2) - (b.score ?? 2) || a.order - b.order,
  order: (a, b) => a.clip.number - b.clip.number || a.place - b.place,
};

// What the selects leave, whatever the kind: the chips count among these.
function candidates() {
  const [game, clip, view] = ["by-game", "by-clip", "view"].map((id) => byId(id).value);
  return entries.filter((entry) => (!game || entry.clip.game === game) && (!clip || entry.clip.number === +clip)
    && (!view || wins[view](entry)));
}

function listFrames() {
  const among = candidates();
  gallery.listed = among.filter((entry) => gallery.kind === null || entry.outcome === gallery.kind);
  gallery.listed.sort(SORTS[byId("sort").value]);
  const present = [0, 1, 2, 3, 4].filter((code) => entries.some((entry) => entry.outcome === code));
  const chips = [null, ...[MISSED, NEAR, ALARM, FOUND, EMPTY].filter((code) => present.includes(code))];
  const held = document.activeElement?.dataset?.kind;
  byId("chips").replaceChildren(...chips.map((code) => {
    const count = among.filter((entry) => code === null || entry.outcome === code).length;
    const chip = element("button", {
      type: "button", "aria-pressed": String(gallery.kind === code), onclick: () => showKind(code),
    }, ...(code === null ? ["all"] : [glyph(code), NAMES[code]]), element("b", { textContent: grouped(count) }));
    chip.dataset.kind = code ?? "all";
    return chip;
  }));
  // The chips were made anew: the keyboard stays where it was.
  if (held) byId("chips").querySelector(`[data-kind="${held}"]`)?.focus();
  showFrames();
}

function showKind(code) {
  gallery.kind = code;
  gallery.shown = FRAMES_A_PAGE;
  listFrames();
}

function showFrames() {
  const { listed, shown } = gallery;
  byId("gallery").replaceChildren(...listed.slice(0, shown).map((entry) => element("li", {}, shot(entry))));
  byId("shown").textContent = entries.length
    ? `${grouped(Math.min(shown, listed.length))} of ${grouped(listed.length)} frames` : "No frames to show.";
  byId("gallery-more").hidden = listed.length <= shown;
  paintSketches();
}

function shot(entry) {
  const { clip, place, outcome, picture } = entry;
  const numbers = [entry.error === null ? null : `${entry.error.toFixed(1)} px off`, entry.score === null ? null : `score ${entry.score.toFixed(2)}`];
  const view = picture
    ? element("img", { src: picture.frame, alt: "", loading: "lazy", width: picture.size[0], height: picture.size[1] })
    : element("canvas", { "aria-hidden": "true" });
  const button = element("button", { type: "button", className: "shot", onclick: () => openBox(entry, gallery.listed) }, view,
    element("span", {}, element("b", {}, glyph(outcome), NAMES[outcome]),
      element("small", { textContent: `${clip.name} · ${clip.frame(place)}` }),
      element("small", { textContent: numbers.filter(Boolean).join(" · ") })));
  button.dataset.entry = entry.order;
  return button;
}

function paintSketches() {
  for (const canvas of byId("gallery").querySelectorAll("canvas")) {
    const entry = entries[canvas.closest(".shot").dataset.entry];
    drawPlane(canvas, entry.clip, entry.place, 6);
  }
}

function openBox(entry, list) {
  box.list = list;
  box.at = list.indexOf(entry);
  if (!byId("lightbox").open) byId("lightbox").showModal();
  showBox();
}

function stepBox(direction) {
  if (box.list.length < 2) return;
  box.at = (box.at + direction + box.list.length) % box.list.length;
  showBox();
}

function showBox() {
  const { clip, place, outcome, picture } = box.list[box.at];
  byId("box-name").textContent = `${clip.name} · frame ${clip.frame(place)}`;
  const alone = box.list.length < 2;
  byId("box-prev").hidden = byId("box-next").hidden = alone;
  fillFacts(byId("box-facts"), [...factsOf(clip, place), ...(alone ? [] : [["shown", `${grouped(box.at + 1)} of ${grouped(box.list.length)}`]])]);
  if (picture) {
    const words = `${NAMES[outcome]}: truth at ${px(clip.truth(place))}, seen at ${px(clip.point(place))}`;
    byId("box-picture").replaceChildren(element("img", { src: picture.frame, alt: words, width: picture.size[0], height: picture.size[1] }),
      element("p", { className: "hint", textContent: "Green ring: truth. Red cross: prediction. Glow: the model's heatmap, scaled to its own peak; the score says how high that is." }));
    byId("box-close-up").replaceChildren(element("img", { src: picture.close, alt: "" }),
      element("p", { className: "hint", textContent: "Close-ups: plain around the truth, with the glow around the prediction." }));
  } else {
    const canvas = element("canvas", { role: "img", "aria-label": "Sketch of truth and prediction" });
    byId("box-picture").replaceChildren(canvas, element("p", { className: "hint", textContent: "Sketch, no picture. Ring: truth. Cross: prediction. Line: the ball's path." }));
    byId("box-close-up").replaceChildren();
    drawPlane(canvas, clip, place, 12);
  }
}

function fillClips() {
  const game = byId("by-game").value;
  const used = clips.filter((clip) => (!game || clip.game === game) && entries.some((entry) => entry.clip === clip));
  used.sort((a, b) => byNames.compare(a.name, b.name));
  byId("by-clip").replaceChildren(new Option("all", ""), ...used.map((clip) => new Option(game ? clip.clip : clip.name, clip.number)));
}

function startFrames() {
  const games = [...new Set(entries.map((entry) => entry.clip.game))].sort(byNames.compare);
  byId("by-game").replaceChildren(new Option("all", ""), ...games.map((game) => new Option(game, game)));
  fillClips();
  byId("view-label").hidden = !clips.some((clip) => clip.hasOther);
  const again = () => { gallery.shown = FRAMES_A_PAGE; listFrames(); };
  byId("by-game").addEventListener("change", () => { fillClips(); again(); });
  for (const id of ["by-clip", "view", "sort"]) byId(id).addEventListener("change", again);
  byId("gallery-more").addEventListener("click", () => { gallery.shown += FRAMES_A_PAGE * 2; showFrames(); });
  byId("box-prev").addEventListener("click", () => stepBox(-1));
  byId("box-next").addEventListener("click", () => stepBox(1));
  byId("box-close").addEventListener("click", () => byId("lightbox").close());
  byId("lightbox").addEventListener("click", (event) => { if (event.target === byId("lightbox")) byId("lightbox").close(); });
  byId("lightbox").addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step) { event.preventDefault(); stepBox(step); }
  });
  byId("box-timeline").addEventListener("click", () => {
    const { clip, place } = box.list[box.at];
    byId("lightbox").close();
    chooseClip(clip, place);
    byId("trace-canvas").focus({ preventScroll: true });
    byId("trace").scrollIntoView({ block: "center" });
  });
  for (const button of document.querySelectorAll("[data-show]")) {
    button.addEventListener("click", () => { showKind(+button.dataset.show); byId("frames").scrollIntoView(); });
  }
  for (const button of document.querySelectorAll("[data-view]")) {
    button.addEventListener("click", () => {
      byId("view").value = button.dataset.view;
      showKind(null);
      byId("frames").scrollIntoView();
    });
  }
  listFrames();
}
