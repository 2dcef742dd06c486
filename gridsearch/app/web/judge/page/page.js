"use strict";

const token = location.pathname.split("/")[1];
const at = (id) => document.getElementById(id);
const HOLD = 250; // milliseconds; shorter is a choice, longer a closer look
const KEYS = {
  ArrowLeft: "first", j: "first", ArrowRight: "second", l: "second", ArrowDown: "equal", " ": "equal",
};
const images = new Map();
let state = null;
let busy = true;
let view = "";

function picture(id) {
  if (!images.has(id)) {
    const image = new Image();
    image.draggable = false;
    image.src = "image/" + id;
    images.set(id, image);
  }
  return images.get(id);
}

const shown = (pair) => [picture(pair.left), picture(pair.right)];

function reveal(name) {
  view = name;
  for (const id of ["judging", "last", "result"]) at(id).hidden = id !== name;
  at("question").hidden = name !== "judging";
}

// Both images appear at once: the one that came first would be looked at first.
async function show(next) {
  state = next;
  at("progress").textContent = state.pairs.length ? `${state.done + 1} of ${state.total}` : `${state.total} of ${state.total}`;
  at("bar").style.width = `${(100 * state.done) / state.total}%`;
  at("undo").disabled = state.done === 0;
  if (!state.pairs.length) {
    reveal("last");
    return;
  }
  const [pair, after] = state.pairs;
  const [left, right] = shown(pair);
  await Promise.allSettled([left.decode(), right.decode()]);
  left.alt = "the left image";
  right.alt = "the right image";
  at("left").replaceChildren(left);
  at("right").replaceChildren(right);
  at("prompt").textContent = pair.prompt;
  reveal("judging");
  if (after) shown(after);
}

function trouble(text) {
  at("trouble").textContent = text;
  at("trouble").hidden = !text;
}

async function ask(name, said) {
  const sent = said && {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-Token": token },
    body: JSON.stringify(said),
  };
  let reply;
  try {
    reply = await fetch(name, sent || {});
  } catch {
    throw new Error("The program has ended. Your answers are saved.");
  }
  if (reply.ok || reply.status === 409) return reply.json(); // 409: the page was behind, and gets the pair to judge now
  throw new Error(await reply.text());
}

function work(on) {
  busy = on;
  document.body.setAttribute("aria-busy", on);
}

// One action at a time: a key that is pressed twice is one answer.
async function once(action) {
  if (busy) return;
  work(true);
  try {
    await action();
    trouble("");
  } catch (error) {
    trouble(error.message);
  } finally {
    work(false);
    at("pictures").classList.remove("first", "second", "equal");
  }
}

function answer(choice) {
  if (view !== "judging") return;
  once(async () => {
    at("pictures").classList.add(choice);
    await show(await ask("answer", { place: state.done, answer: choice }));
  });
}

function undo() {
  if (view === "result" || !state.done) return;
  once(async () => show(await ask("undo", { place: state.done })));
}

function cell(kind, text) {
  const made = document.createElement(kind);
  made.textContent = text;
  return made;
}

function finish() {
  if (view === "result") return;
  once(async () => {
    const found = await ask("finish", {});
    at("headline").textContent = document.title = found.headline;
    at("text").textContent = found.text;
    at("report").textContent = found.report;
    at("trials").replaceChildren(...found.trials.map((trial) => {
      const row = document.createElement("tr");
      if (trial.winner) row.className = "winner";
      row.append(cell("th", trial.name), ...[trial.wins, trial.ties, trial.losses, trial.chance].map((text) => cell("td", text)));
      return row;
    }));
    reveal("result");
  });
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || view === "result") return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const isPressed = document.activeElement?.tagName === "BUTTON" && (key === " " || key === "Enter");
  if (isPressed && document.activeElement.matches(":focus-visible")) return; // it presses that button
  if (event.repeat) {
    if (KEYS[key]) event.preventDefault();
  } else if (KEYS[key]) {
    event.preventDefault();
    answer(KEYS[key]);
  } else if (key === "Backspace") {
    event.preventDefault();
    undo();
  } else if (key === "Enter" && view === "last") {
    event.preventDefault();
    finish();
  }
});

// A button that was clicked does not keep the focus, or the space bar would press it again.
function onClick(id, action) {
  at(id).addEventListener("click", (event) => {
    if (event.detail) at(id).blur();
    action();
  });
}
for (const choice of ["first", "equal", "second"]) onClick(choice, () => answer(choice));
for (const id of ["undo", "undo-last"]) onClick(id, undo);
for (const id of ["stop", "finish"]) onClick(id, finish);

// A click on an image chooses it. Holding it enlarges both about the same place.
let held = null;
for (const [side, choice] of [["left", "first"], ["right", "second"]]) {
  const figure = at(side);
  const look = (event) => {
    const box = figure.getBoundingClientRect();
    const origin = `${(100 * (event.clientX - box.left)) / box.width}% ${(100 * (event.clientY - box.top)) / box.height}%`;
    for (const image of document.querySelectorAll("#pictures img")) image.style.transformOrigin = origin;
  };
  const near = () => at("pictures").classList.contains("near");
  figure.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    figure.setPointerCapture(event.pointerId);
    look(event);
    held = setTimeout(() => at("pictures").classList.add("near"), HOLD);
  });
  figure.addEventListener("pointermove", (event) => near() && look(event));
  const release = (event) => {
    if (held === null) return;
    clearTimeout(held);
    held = null;
    const looked = near();
    at("pictures").classList.remove("near");
    if (!looked && event.type === "pointerup") answer(choice);
  };
  figure.addEventListener("pointerup", release);
  figure.addEventListener("pointercancel", release);
  figure.addEventListener("contextmenu", (event) => event.preventDefault()); // a long touch would open it
}

ask("state").then(show).catch((error) => trouble(error.message)).finally(() => work(false));
