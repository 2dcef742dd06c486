  // What the parts of this script share. Texts from outside are only ever set as text.
  const data = JSON.parse(document.getElementById("data").textContent);
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  const pace = () => (calm.matches ? "instant" : "smooth");
  const nearest = (items, distance) => items.reduce((a, b) => (distance(b) < distance(a) ? b : a));
  // How far a place to scroll to is from where a thing stands in the middle; the nearest whole one cuts nothing.
  const aimed = (at, thing, holder) => {
    const middle = at - (holder.clientWidth - thing.offsetWidth) / 2;
    return (left) => Math.abs(left - middle);
  };

  function make(tag, text = "", attributes = {}) {
    const node = document.createElement(tag);
    node.textContent = text;
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    return node;
  }

  for (const node of document.querySelectorAll(".scripted, .by-prompt, #reload")) node.hidden = false;
  for (const node of document.querySelectorAll(".unscripted")) node.hidden = true;
  // Selected first: where copying is refused, the text can be copied by hand. It asks for no permission.
  for (const code of document.querySelectorAll(".command code")) {
    const button = make("button", "Copy", { type: "button", class: "copy" });
    button.addEventListener("click", () => {
      getSelection().selectAllChildren(code);
      button.textContent = document.execCommand("copy") ? "Copied" : "Selected";
    });
    code.after(button);
  }
  // The page of a run that goes on loads itself again, until a reader has begun to use it.
  const reload = document.getElementById("reload");
  reload?.addEventListener("click", () => location.reload());
  const later = reload && setTimeout(() => location.reload(), 60_000);
  for (const use of ["pointerdown", "keydown"]) addEventListener(use, () => clearTimeout(later), { once: true });
