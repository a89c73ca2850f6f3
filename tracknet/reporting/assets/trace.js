// Drawing on canvases: strips, traces over time, the ball's path, sketches and the map of failures.
let palette = {};

function readPalette() {
  // Canvases know no light-dark(): an element is given each colour and asked what it became.
  const probe = document.body.appendChild(element("i", { hidden: true }));
  const colour = (name) => { probe.style.color = `var(--${name})`; return getComputedStyle(probe).color; };
  palette = {
    outcome: ["found", "empty", "near", "alarm", "missed"].map(colour),
    ink: colour("ink"), soft: colour("soft"), line: colour("line"), paper: colour("paper"), card: colour("card"),
    truth: colour("truth"), focus: colour("focus"),
  };
  probe.remove();
}

// A context in CSS pixels, sharp on dense screens.
function brush(canvas, height) {
  const width = canvas.clientWidth;
  const tall = height ?? canvas.clientHeight;
  const ratio = Math.min(3, window.devicePixelRatio || 1);
  canvas.width = Math.max(1, Math.round(width * ratio));
  canvas.height = Math.max(1, Math.round(tall * ratio));
  const context = canvas.getContext("2d");
  context.scale(canvas.width / Math.max(1, width), canvas.height / Math.max(1, tall));
  context.clearRect(0, 0, width, tall);
  context.lineCap = "round";
  return [context, width, tall];
}

// The outcome's own shape, as in the legend.
function drawMark(context, outcome, x, y, r) {
  const tone = palette.outcome[outcome];
  Object.assign(context, { fillStyle: tone, strokeStyle: tone, lineWidth: Math.max(1.4, r * 0.5) });
  context.beginPath();
  if (outcome === ALARM) {
    context.moveTo(x - r, y - r); context.lineTo(x + r, y + r); context.moveTo(x + r, y - r); context.lineTo(x - r, y + r);
    context.stroke();
  } else if (outcome === MISSED) {
    context.arc(x, y, r, 0, 7); context.stroke();
  } else if (outcome === NEAR) {
    context.arc(x, y, r, 0, 7); context.stroke();
    context.beginPath(); context.arc(x, y, r, Math.PI / 2, Math.PI * 1.5); context.fill();
  } else {
    context.arc(x, y, outcome === FOUND ? r : r * 0.6, 0, 7); context.fill();
  }
}

// A tick per frame; where several share a pixel the gravest shows.
function drawTicks(context, clip, first, last, x0, y0, width, height) {
  const gravity = { [EMPTY]: 0, [FOUND]: 1, [ALARM]: 2, [NEAR]: 3, [MISSED]: 4 };
  const columns = Math.max(1, Math.min(Math.round(width), last - first));
  for (let column = 0; column < columns; column++) {
    const from = first + Math.floor((column * (last - first)) / columns);
    const to = Math.max(from + 1, first + Math.floor(((column + 1) * (last - first)) / columns));
    let worst = EMPTY;
    for (let i = from; i < to && i < clip.length; i++) if (gravity[clip.outcome(i)] > gravity[worst]) worst = clip.outcome(i);
    context.fillStyle = palette.outcome[worst];
    const short = worst === FOUND || worst === EMPTY;
    context.fillRect(x0 + (column * width) / columns, y0 + (short ? height * 0.35 : 0), width / columns + 0.4, short ? height * 0.65 : height);
  }
}

function drawStrip(canvas, clip) {
  const [context, width, height] = brush(canvas);
  drawTicks(context, clip, 0, clip.length, 0, 0, width, height);
}

const TRACE_LEFT = 46, TRACE_RIGHT = 8;
const traceX = (width, first, last, i) => TRACE_LEFT + ((i - first + 0.5) / (last - first)) * (width - TRACE_LEFT - TRACE_RIGHT);

function drawTrace(canvas, clip, first, last, cursor) {
  const [context, width, height] = brush(canvas);
  const at = (i) => traceX(width, first, last, i);
  const spacing = at(first + 1) - at(first);
  const r = Math.max(1.6, Math.min(4, spacing * 0.4));
  const scoreTall = 46, strip = 12, gap = 12, axis = 20;
  const tall = (height - scoreTall - strip - axis - 3 * gap) / 2;
  const panels = [
    { name: "x px", top: 2, tall, of: (p) => p && p[0], range: levels(clip, first, last, 0, clip.width) },
    { name: "y px", top: 2 + tall + gap, tall, of: (p) => p && p[1], range: levels(clip, first, last, 1, clip.height) },
  ];
  context.font = "11px system-ui, sans-serif";
  for (const panel of panels) drawPanel(context, clip, panel, { first, last, at, spacing, r, width });
  const top = 2 + 2 * (tall + gap);
  const level = (score) => top + scoreTall - Math.min(1, Math.max(0, score)) * scoreTall;
  drawFrameOf(context, "score", top, scoreTall, width);
  context.fillStyle = palette.soft;
  for (let i = first; i < last; i++) {
    const score = clip.score(i);
    if (score === null) continue;
    context.globalAlpha = score >= data.threshold ? 0.9 : 0.35;
    context.fillRect(at(i) - Math.max(0.5, spacing * 0.36), level(score), Math.max(1, spacing * 0.72), top + scoreTall - level(score));
  }
  context.globalAlpha = 1;
  context.strokeStyle = palette.outcome[MISSED];
  context.setLineDash([5, 4]);
  context.beginPath(); context.moveTo(TRACE_LEFT, level(data.threshold)); context.lineTo(width - TRACE_RIGHT, level(data.threshold)); context.stroke();
  context.setLineDash([]);
  const ticks = top + scoreTall + gap;
  drawTicks(context, clip, first, last, TRACE_LEFT, ticks, width - TRACE_LEFT - TRACE_RIGHT, strip);
  context.fillStyle = palette.soft;
  for (const [i, side] of [[first, "left"], [last - 1, "right"]]) {
    context.textAlign = side;
    context.fillText(`frame ${clip.frame(i)}`, side === "left" ? TRACE_LEFT : width - TRACE_RIGHT, ticks + strip + 15);
  }
  context.strokeStyle = palette.ink; context.lineWidth = 1.5;
  context.beginPath(); context.moveTo(at(cursor), 0); context.lineTo(at(cursor), ticks + strip + 3); context.stroke();
}

// Lowest and highest coordinate of truth and detections, with room, and never so near that noise looks like movement.
function levels(clip, first, last, axis, side) {
  let low = Infinity, high = -Infinity;
  for (let i = first; i < last; i++) {
    const said = [FOUND, NEAR, ALARM].includes(clip.outcome(i));
    for (const point of [clip.truth(i), said ? clip.point(i) : null]) {
      if (!point) continue;
      low = Math.min(low, point[axis]); high = Math.max(high, point[axis]);
    }
  }
  if (low > high) return [0, side];
  const room = Math.max((high - low) * 0.06, (side * 0.15 - (high - low)) / 2);
  return [Math.max(low - room, Math.min(0, low)), Math.min(high + room, Math.max(side, high))];
}

function drawFrameOf(context, name, top, tall, width) {
  context.strokeStyle = palette.line; context.lineWidth = 1;
  context.strokeRect(TRACE_LEFT, top, width - TRACE_LEFT - TRACE_RIGHT, tall);
  context.fillStyle = palette.soft; context.textAlign = "right";
  context.fillText(name, TRACE_LEFT - 7, top + tall / 2 + 4);
}

function drawPanel(context, clip, panel, view) {
  const { first, last, at, spacing, r } = view;
  const [low, high] = panel.range;
  // What lies beyond the range, as predictions below the threshold may, is shown at the edge.
  const level = (value) => panel.top + 4 + Math.min(1, Math.max(0, (value - low) / (high - low))) * (panel.tall - 8);
  context.fillStyle = palette.line; context.globalAlpha = 0.5;
  for (let i = first; i < last; i++) if (!clip.truth(i)) context.fillRect(at(i) - spacing / 2, panel.top, spacing + 0.4, panel.tall);
  context.globalAlpha = 1;
  drawFrameOf(context, panel.name, panel.top, panel.tall, view.width);
  context.fillText(Math.round(low), TRACE_LEFT - 7, panel.top + 10);
  context.fillText(Math.round(high), TRACE_LEFT - 7, panel.top + panel.tall - 2);
  context.strokeStyle = palette.truth; context.lineWidth = 1.6; context.beginPath();
  for (let i = first, was = null; i < last; i++) {
    const value = panel.of(clip.truth(i));
    if (value === null) { was = null; continue; }
    const joined = was !== null && clip.frame(i) - clip.frame(i - 1) === 1;
    context[joined ? "lineTo" : "moveTo"](at(i), level(value));
    was = value;
  }
  context.stroke();
  for (let i = first; i < last; i++) {
    const outcome = clip.outcome(i), seen = panel.of(clip.point(i)), truth = panel.of(clip.truth(i)), other = panel.of(clip.other(i));
    if (other !== null && (clip.otherOutcome(i) === NEAR || clip.otherOutcome(i) === FOUND)) {
      context.strokeStyle = palette.soft; context.lineWidth = 1;
      context.strokeRect(at(i) - r - 1.5, level(other) - r - 1.5, 2 * r + 3, 2 * r + 3);
    }
    if (outcome === NEAR && truth !== null && seen !== null) {
      // A jump: how far from the truth the detection is.
      context.strokeStyle = palette.outcome[NEAR]; context.lineWidth = 1; context.globalAlpha = 0.6;
      context.beginPath(); context.moveTo(at(i), level(truth)); context.lineTo(at(i), level(seen)); context.stroke();
      context.globalAlpha = 1;
    }
    if (outcome === MISSED && truth !== null) drawMark(context, MISSED, at(i), level(truth), r);
    if (seen === null) continue;
    context.globalAlpha = outcome === MISSED || outcome === EMPTY ? 0.3 : 1;
    drawMark(context, outcome === MISSED ? EMPTY : outcome, at(i), level(seen), r);
    context.globalAlpha = 1;
  }
}

// The picture's plane with the path of the truth and the predictions for some frames around one.
function drawPlane(canvas, clip, place, reach) {
  const [context, width, height] = brush(canvas, (canvas.clientWidth * clip.height) / clip.width);
  const sx = width / clip.width, sy = height / clip.height;
  const from = Math.max(0, place - reach), to = Math.min(clip.length, place + reach + 1);
  context.strokeStyle = palette.truth; context.lineWidth = 1.4; context.globalAlpha = 0.7; context.beginPath();
  let was = false;
  for (let i = from; i < to; i++) {
    const truth = clip.truth(i);
    if (truth) context[was ? "lineTo" : "moveTo"](truth[0] * sx, truth[1] * sy);
    was = Boolean(truth);
  }
  context.stroke();
  const r = Math.max(2, width / 90);
  for (let i = from; i < to; i++) {
    const seen = clip.point(i), outcome = clip.outcome(i);
    if (i === place || !seen || outcome === MISSED || outcome === EMPTY) continue;
    context.globalAlpha = 0.45;
    drawMark(context, outcome, seen[0] * sx, seen[1] * sy, r * 0.8);
  }
  context.globalAlpha = 1;
  const truth = clip.truth(place), seen = clip.point(place);
  const big = r * 2.2;
  if (truth && seen && clip.outcome(place) === NEAR) {
    context.strokeStyle = palette.outcome[NEAR]; context.setLineDash([4, 4]); context.lineWidth = 1.4;
    context.beginPath(); context.moveTo(truth[0] * sx, truth[1] * sy); context.lineTo(seen[0] * sx, seen[1] * sy); context.stroke();
    context.setLineDash([]);
  }
  if (truth) {
    context.strokeStyle = palette.truth; context.lineWidth = 2;
    context.beginPath(); context.arc(truth[0] * sx, truth[1] * sy, big, 0, 7); context.stroke();
  }
  if (seen) {
    const x = seen[0] * sx, y = seen[1] * sy;
    context.globalAlpha = clip.outcome(place) === MISSED || clip.outcome(place) === EMPTY ? 0.45 : 1;
    context.strokeStyle = palette.outcome[clip.outcome(place)]; context.lineWidth = 2.2;
    context.beginPath(); context.moveTo(x - big, y); context.lineTo(x + big, y); context.moveTo(x, y - big); context.lineTo(x, y + big); context.stroke();
    context.globalAlpha = 1;
  }
}

// Where in the picture things go wrong, over all clips.
function drawMap(canvas) {
  const shape = clips.find((clip) => clip.width > 1) ?? { width: 16, height: 9 };
  const [context, width, height] = brush(canvas, (canvas.clientWidth * shape.height) / shape.width);
  context.strokeStyle = palette.line; context.lineWidth = 1;
  for (const third of [1 / 3, 2 / 3]) {
    context.beginPath(); context.moveTo(width * third, 0); context.lineTo(width * third, height);
    context.moveTo(0, height * third); context.lineTo(width, height * third); context.stroke();
  }
  const total = clips.reduce((sum, clip) => sum + clip.failures, 0);
  const r = total > 1500 ? 1.8 : total > 300 ? 2.6 : 3.6;
  for (const clip of clips) {
    for (let i = 0; i < clip.length; i++) {
      const outcome = clip.outcome(i);
      const point = outcome === ALARM ? clip.point(i) : clip.truth(i);
      if (!FAILURES.includes(outcome) || !point) continue;
      context.globalAlpha = 0.8;
      drawMark(context, outcome, (point[0] / clip.width) * width, (point[1] / clip.height) * height, r);
    }
  }
  context.globalAlpha = 1;
}
