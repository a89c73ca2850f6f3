// The clips as strips, and the chosen clip's trace with a cursor.
const STRIPS_A_PAGE = 24;
const timeline = { clip: null, cursor: 0, shown: STRIPS_A_PAGE, listed: [] };

function listStrips() {
  const words = byId("strip-find").value.trim().toLowerCase();
  const order = byId("strip-order").value;
  const share = (clip) => clip.failures / Math.max(1, clip.length);
  timeline.listed = clips.filter((clip) => clip.name.toLowerCase().includes(words));
  if (order === "name") timeline.listed.sort((a, b) => byNames.compare(a.name, b.name));
  else timeline.listed.sort((a, b) => (order === "rate" ? share(b) - share(a) : b.failures - a.failures) || a.number - b.number);
  showStrips();
}

function showStrips() {
  const rows = timeline.listed.slice(0, timeline.shown).map((clip) => {
    const canvas = element("canvas", { "aria-hidden": "true" });
    const words = FAILURES.filter((code) => clip.counts[code]).map((code) => `${clip.counts[code]} ${NAMES[code]}`).join(", ");
    const button = element("button", {
      type: "button", className: "strip", "aria-pressed": String(clip === timeline.clip),
      "aria-label": `${clip.name}: ${clip.length} frames, ${words || "no failures"}`,
      onclick: () => chooseClip(clip, firstFailure(clip)),
    }, element("span", {}, element("b", { textContent: clip.name }),
      element("i", { textContent: clip.failures ? `${grouped(clip.failures)} of ${grouped(clip.length)} fail` : `all ${grouped(clip.length)} right` })), canvas);
    button.dataset.clip = clip.number;
    return element("li", {}, button);
  });
  byId("strips").replaceChildren(...rows);
  const left = timeline.listed.length - timeline.shown;
  byId("strips-more").hidden = left <= 0;
  byId("strips-more").textContent = `More clips (${grouped(Math.max(0, left))} left)`;
  byId("strips-none").hidden = timeline.listed.length > 0;
  paintStrips();
}

function paintStrips() {
  for (const button of byId("strips").querySelectorAll(".strip")) drawStrip(button.querySelector("canvas"), clips[button.dataset.clip]);
}

const firstFailure = (clip) => {
  for (let i = 0; i < clip.length; i++) if (FAILURES.includes(clip.outcome(i))) return i;
  return 0;
};

function chooseClip(clip, place) {
  timeline.clip = clip;
  byId("trace").hidden = false;
  byId("trace-name").textContent = clip.name;
  for (const button of byId("strips").querySelectorAll(".strip")) {
    button.setAttribute("aria-pressed", String(+button.dataset.clip === clip.number));
  }
  byId("trace-canvas").setAttribute("aria-valuemax", clip.length - 1);
  moveCursor(place);
}

// First frame shown, and one past the last.
function shownRange() {
  const { clip, cursor } = timeline;
  const count = Math.min(clip.length, +byId("zoom").value || clip.length);
  const first = Math.max(0, Math.min(clip.length - count, cursor - Math.floor(count / 2)));
  return [first, first + count];
}

function moveCursor(place) {
  const { clip } = timeline;
  timeline.cursor = Math.max(0, Math.min(clip.length - 1, place));
  const i = timeline.cursor;
  const canvas = byId("trace-canvas");
  canvas.setAttribute("aria-valuenow", i);
  canvas.setAttribute("aria-valuetext", `frame ${clip.frame(i)}: ${NAMES[clip.outcome(i)]}, error ${fixed(clip.error(i), 1)} px`);
  fillFacts(byId("readout"), [["frame", String(clip.frame(i))], ...factsOf(clip, i)]);
  byId("open-frame").hidden = !findEntry(clip, i);
  paintTrace();
}

function paintTrace() {
  if (!timeline.clip) return;
  drawTrace(byId("trace-canvas"), timeline.clip, ...shownRange(), timeline.cursor);
  drawPlane(byId("plane"), timeline.clip, timeline.cursor, 12);
  const picture = findEntry(timeline.clip, timeline.cursor)?.picture;
  byId("plane-picture").hidden = !picture;
  if (picture) byId("plane-picture").src = picture.frame;
}

function seekFailure(direction) {
  const { clip, cursor } = timeline;
  for (let i = cursor + direction; i >= 0 && i < clip.length; i += direction) {
    if (FAILURES.includes(clip.outcome(i))) return moveCursor(i);
  }
}

function placeUnder(event) {
  const box = byId("trace-canvas").getBoundingClientRect();
  const [first, last] = shownRange();
  const share = (event.clientX - box.left - TRACE_LEFT) / (box.width - TRACE_LEFT - TRACE_RIGHT);
  return Math.max(first, Math.min(last - 1, first + Math.floor(share * (last - first))));
}

function openCursorFrame() {
  const entry = findEntry(timeline.clip, timeline.cursor);
  if (entry) openBox(entry, [entry]);
}

function startTimeline() {
  if (!clips.length) {
    byId("trace").closest(".timelines").replaceChildren(element("p", { className: "empty", textContent: "No frames, so no timelines." }));
    return;
  }
  const canvas = byId("trace-canvas");
  const keys = {
    ArrowLeft: (step) => moveCursor(timeline.cursor - step), ArrowRight: (step) => moveCursor(timeline.cursor + step),
    Home: () => moveCursor(0), End: () => moveCursor(timeline.clip.length - 1),
    n: () => seekFailure(1), p: () => seekFailure(-1), Enter: openCursorFrame,
  };
  canvas.addEventListener("keydown", (event) => {
    const act = keys[event.key] ?? keys[event.key.toLowerCase()];
    if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    act(event.shiftKey ? 10 : 1);
  });
  // Following the pointer would drag a zoomed view along: there a press moves the cursor.
  canvas.addEventListener("pointermove", (event) => {
    if (event.pointerType === "mouse" && byId("zoom").value === "0") moveCursor(placeUnder(event));
  });
  canvas.addEventListener("click", (event) => {
    const place = placeUnder(event);
    const again = place === timeline.cursor;
    moveCursor(place);
    if (again) openCursorFrame();
  });
  byId("open-frame").addEventListener("click", openCursorFrame);
  byId("prev-failure").addEventListener("click", () => seekFailure(-1));
  byId("next-failure").addEventListener("click", () => seekFailure(1));
  byId("zoom").addEventListener("change", paintTrace);
  byId("strip-find").addEventListener("input", () => { timeline.shown = STRIPS_A_PAGE; listStrips(); });
  byId("strip-order").addEventListener("change", listStrips);
  byId("strips-more").addEventListener("click", () => { timeline.shown += STRIPS_A_PAGE * 4; showStrips(); });
  byId("trace-legend").replaceChildren(...NAMES.map((name, code) => element("li", {}, element("span", {}, glyph(code), name))),
    ...(clips[0].hasOther ? [element("li", {}, element("span", {}, element("i", { className: "glyph other" }), "seen by B"))] : []));
  byId("map-figure").hidden = !clips.some((clip) => clip.failures);
  listStrips();
  chooseClip(timeline.listed[0], firstFailure(timeline.listed[0]));
}
