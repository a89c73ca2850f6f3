// The page's data, and small tools that every part uses.
// The codes of utils/outcome.py.
const FOUND = 0, EMPTY = 1, NEAR = 2, ALARM = 3, MISSED = 4;
const FAILURES = [MISSED, NEAR, ALARM];
const VISIBILITY = ["not in the frame", "clear", "hard to see", "occluded"];
const STATUS = ["flying", "hit", "bounce"];
const NONE = "–";

const data = JSON.parse(document.getElementById("data").textContent);
const NAMES = data.outcomes;
const byId = (id) => document.getElementById(id);

function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name in made && !name.includes("-")) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

const glyph = (outcome) => element("i", { className: `glyph o${outcome}`, "aria-hidden": "true" });
// game2 before game10.
const byNames = new Intl.Collator("en", { numeric: true });
const grouped = (number) => number.toLocaleString("en-US");
const tenth = (value) => (value === null || value === undefined ? null : value / 10);

// One clip: its columns, with lookups by place (0 is its first frame).
class Clip {
  constructor(raw, number) {
    Object.assign(this, { number, raw, game: raw.game, clip: raw.clip });
    this.name = `${raw.game} / ${raw.clip}`;
    [this.width, this.height] = raw.size.map((side) => side || 1);
    this.length = raw.x.length;
    this.counts = [0, 0, 0, 0, 0];
    for (const code of raw.outcome) this.counts[+code] += 1;
    this.failures = this.counts[NEAR] + this.counts[MISSED] + this.counts[ALARM];
    this.hasOther = raw.b_outcome !== undefined;
  }
  frame(i) { return Array.isArray(this.raw.frames) ? this.raw.frames[i] : this.raw.frames.from + i; }
  outcome(i) { return +this.raw.outcome[i]; }
  otherOutcome(i) { return this.hasOther ? +this.raw.b_outcome[i] : null; }
  point(i) { return this.pair(this.raw.x, this.raw.y, i); }
  truth(i) { return this.pair(this.raw.tx, this.raw.ty, i); }
  other(i) { return this.hasOther ? this.pair(this.raw.b_x, this.raw.b_y, i) : null; }
  pair(xs, ys, i) { return xs[i] === null || ys[i] === null ? null : [tenth(xs[i]), tenth(ys[i])]; }
  score(i) { return this.raw.score[i] === null ? null : this.raw.score[i] / 1000; }
  visibility(i) { return +this.raw.visibility[i]; }
  status(i) { return STATUS[this.raw.status[i]] ?? NONE; }
  error(i) {
    const [p, t] = [this.point(i), this.truth(i)];
    return p && t ? Math.hypot(p[0] - t[0], p[1] - t[1]) : null;
  }
}

const clips = data.clips.map((raw, number) => new Clip(raw, number));
const entries = data.entries.map(([clip, place, picture], order) => ({
  clip: clips[clip], place, order, picture: data.pictures[picture] ?? null,
  outcome: clips[clip].outcome(place), score: clips[clip].score(place), error: clips[clip].error(place),
}));
const entryAt = new Map(entries.map((entry) => [`${entry.clip.number} ${entry.place}`, entry]));
const findEntry = (clip, place) => entryAt.get(`${clip.number} ${place}`) ?? null;

const px = (point) => (point ? `${point[0].toFixed(1)}, ${point[1].toFixed(1)}` : NONE);
const fixed = (value, digits) => (value === null ? NONE : value.toFixed(digits));

// Name and value of everything known about a frame.
function factsOf(clip, i) {
  const code = clip.visibility(i);
  const rows = [
    ["outcome", NAMES[clip.outcome(i)]], ["truth x, y", px(clip.truth(i))], ["seen at x, y", px(clip.point(i))],
    ["error", clip.error(i) === null ? NONE : `${clip.error(i).toFixed(1)} px`], ["score", fixed(clip.score(i), 3)],
    ["visibility", `${code} ${VISIBILITY[code] ?? ""}`], ["ball is", clip.status(i)],
  ];
  if (clip.hasOther) rows.push(["B says", `${NAMES[clip.otherOutcome(i)]}, ${px(clip.other(i))}`]);
  return rows;
}
function fillFacts(list, rows) {
  list.replaceChildren(...rows.map(([name, value]) =>
    element("div", {}, element("dt", { textContent: name }), element("dd", { textContent: value }))));
}
