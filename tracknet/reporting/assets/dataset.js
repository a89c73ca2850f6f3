const frames = JSON.parse(document.getElementById("data").textContent).frames;
const $ = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";
const filters = ["split", "game", "visibility"];
let shown = [], current = 0;

function element(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

// The label is drawn over the picture, so that it can be taken away.
function picture(frame) {
  const box = element("span", "pic"), image = element("img");
  image.src = frame.src;
  image.width = frame.width;
  image.height = frame.height;
  image.alt = describe(frame);
  image.decoding = "async";
  box.append(image);
  if (frame.xy) {
    const svg = document.createElementNS(SVG, "svg"), ring = document.createElementNS(SVG, "circle");
    // Pixel centres are at integers; the SVG's corner is the picture's.
    svg.setAttribute("viewBox", `-0.5 -0.5 ${frame.width} ${frame.height}`);
    ring.setAttribute("class", "ring");
    ring.setAttribute("cx", frame.xy[0]);
    ring.setAttribute("cy", frame.xy[1]);
    ring.setAttribute("r", frame.width / 60);
    svg.append(ring);
    box.append(svg);
  }
  return box;
}

function describe(frame) {
  const place = frame.frameXy ? `ball at ${frame.frameXy.map((c) => c.toFixed(1)).join(", ")}` : "no ball";
  return `${frame.key}: ${place}, ${frame.visibility}${frame.status ? ", " + frame.status : ""}`;
}

for (const name of filters) {
  const values = [...new Set(frames.map((frame) => frame[name]))];
  $(name).append(new Option("all", ""), ...values.map((value) => new Option(value, value)));
  $(name).addEventListener("change", fill);
}

function fill() {
  shown = frames.filter((frame) => filters.every((name) => !$(name).value || frame[name] === $(name).value));
  $("count").textContent = `${shown.length} of ${frames.length} frames`;
  $("grid").replaceChildren(...shown.map((frame, number) => {
    const card = element("button", "card"), words = element("span", "words", frame.key);
    card.type = "button";
    words.append(element("small", "", `${frame.split} · ${frame.visibility}${frame.status ? " · " + frame.status : ""}`));
    card.append(picture(frame), words);
    card.addEventListener("click", () => enlarge(number));
    return card;
  }));
}

function enlarge(number) {
  current = (number + shown.length) % shown.length;
  const frame = shown[current];
  $("whole").replaceChildren(...picture(frame).childNodes);
  $("what").textContent = `${current + 1} of ${shown.length}: ${frame.split}, ${describe(frame)}`;
  if (!$("large").open) $("large").showModal();
  const image = new Image();
  image.onload = () => { if (shown[current] === frame) closeUp(frame, image); };
  image.src = frame.src;
}

function closeUp(frame, image) {
  const side = $("close").width, zoom = 6, span = side / zoom, context = $("close").getContext("2d");
  const [x, y] = frame.xy || [(frame.width - 1) / 2, (frame.height - 1) / 2];
  context.imageSmoothingEnabled = false;
  context.clearRect(0, 0, side, side);
  context.drawImage(image, x + 0.5 - span / 2, y + 0.5 - span / 2, span, span, 0, 0, side, side);
  if (frame.xy && $("labels").checked) {
    context.strokeStyle = "#50ff50";
    context.lineWidth = 1;
    context.beginPath();
    context.arc(side / 2, side / 2, 30, 0, 2 * Math.PI);
    context.stroke();
  }
}

function toggleLabels() {
  document.body.classList.toggle("plain", !$("labels").checked);
  if ($("large").open) enlarge(current);
}

function moveFocus(key) {
  const cards = [...$("grid").children], at = cards.indexOf(document.activeElement);
  const columns = getComputedStyle($("grid")).gridTemplateColumns.split(" ").length;
  const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[key];
  if (!step || (at < 0 && document.activeElement !== document.body)) return false;
  const target = cards[at < 0 ? 0 : at + step];
  if (target) target.focus();
  return Boolean(target);
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "l" && event.target.tagName !== "SELECT") {
    $("labels").checked = !$("labels").checked;
    toggleLabels();
  } else if ($("large").open) {
    if (event.key === "ArrowLeft") enlarge(current - 1);
    if (event.key === "ArrowRight") enlarge(current + 1);
  } else if (event.target.tagName !== "SELECT" && moveFocus(event.key)) {
    event.preventDefault();
  }
});
$("labels").addEventListener("change", toggleLabels);
$("before").addEventListener("click", () => enlarge(current - 1));
$("next").addEventListener("click", () => enlarge(current + 1));
$("shut").addEventListener("click", () => $("large").close());
$("large").addEventListener("close", () => { const card = $("grid").children[current]; if (card) card.focus(); });
$("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
});
fill();
