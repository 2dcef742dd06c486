  // The comparer. A case is a row of the grid; both sides show it, each at a column of its own.
  const comparer = data.compare ? startComparer(document.getElementById("compare"), data.compare) : null;

  function startComparer(place, told) {
    const $ = (selector) => place.querySelector(selector);
    const stage = $("#stage"), looking = $(".looking"), wipe = $("#wipe"), chooser = $("#prompt");
    const views = [...place.querySelectorAll(".view")], sides = [...place.querySelectorAll(".side")];
    const modes = told.groups.filter((group) => !group.reference);
    const through = (group) => Array.from({ length: group.last - group.first + 1 }, (_, i) => group.first + i);
    const references = told.groups.filter((group) => group.reference).flatMap(through);
    const tracks = modes.length ? modes.map((group) => [...references, ...through(group)]) : [references];
    const prompts = [...new Set(told.cases.map((one) => one.id))];
    const casesOf = (id) => told.cases.flatMap((one, i) => (one.id === id ? [i] : []));
    const trackOf = (column) => Math.max(0, tracks.findIndex((track) => track.includes(column)));

    const state = {
      row: told.start.case,
      view: tracks.length > 1 ? "beside" : "one",
      at: [told.start.column, told.start.beside],
      track: [trackOf(told.start.column), trackOf(told.start.beside)],
    };

    function named(column) {
      const mode = modes.length > 1 && modes.find((group) => through(group).includes(column));
      return mode ? `${told.columns[column].heading} · ${mode.heading}` : told.columns[column].heading;
    }

    // -- pictures: the small one from the grid at once, then the full one where it lies beside this file

    const loaded = new Set(), gone = new Set();
    let alone = false; // a page that was mailed has no images beside it: after one miss none is asked for
    let asked = null;
    const waiting = [0, 0];

    async function load(href, then) {
      await asked; // the first one says whether there are any
      if (alone || gone.has(href)) return;
      const answer = new Promise((done) => {
        const full = new Image();
        full.onload = () => done(loaded.add(href));
        full.onerror = () => done(gone.add(href));
        full.src = href;
      });
      asked ??= answer;
      await answer;
      alone = loaded.size === 0;
      $(".alone").hidden = !alone;
      if (loaded.has(href)) then();
    }

    function paint(side) {
      const view = views[side], column = state.at[side], row = state.row;
      const link = cellAt(row, column).querySelector("a"), small = link?.querySelector("img");
      clearTimeout(waiting[side]);
      if (!small) {
        view.replaceChildren(make("span", cellAt(row, column).querySelector(".hole")?.textContent, { class: "hole" }));
      } else {
        const image = view.querySelector("img") ?? make("img", "", { decoding: "sync" });
        image.alt = small.alt;
        const href = link.href;
        const full = () => {
          image.src = href;
          image.decode().then(() => image.classList.toggle("tiny", image.naturalWidth <= 160 && image.src === href), () => {});
        };
        if (loaded.has(href)) full();
        else {
          image.src = small.src;
          image.classList.remove("tiny");
          waiting[side] = setTimeout(() => load(href, () => image.alt === small.alt && full()), 90);
        }
        view.replaceChildren(image);
        stage.style.setProperty("--ratio", small.width / small.height || 1);
      }
      view.append(make("span", named(column), { class: "letter" }));
    }

    // -- what is said of them

    function say(side) {
      const panel = sides[side], column = told.columns[state.at[side]], cell = told.cells[state.row][state.at[side]];
      const [verdict, defect, blur, noise, words] = cell ?? [column.missing || "not rendered", null, null, null, ""];
      const colours = told.verdicts[verdict];
      panel.querySelector(".heading").textContent = column.heading;
      const chip = panel.querySelector(".chip");
      chip.textContent = verdict;
      chip.style.setProperty("--verdict", colours?.colour ?? "transparent");
      chip.style.setProperty("--ink", colours?.ink ?? "inherit");
      panel.querySelector(".mark").textContent = column.mark;
      panel.querySelector(".said").textContent = words;
      const numbers = [["defect", defect, ""], ["blur", blur, " px"], ["noise", noise, " levels"]].map(([name, value, unit]) => {
        const item = make("div", value === null ? "–" : value + unit);
        item.prepend(make("span", name + " "));
        return item;
      });
      panel.querySelector(".numbers").replaceChildren(...(cell ? numbers : []));
      const link = cellAt(state.row, state.at[side]).querySelector("a[href]");
      panel.querySelector(".full").replaceChildren(...(link ? [make("a", "Full-size image", { href: link.href })] : []));
      return `${column.heading}, ${verdict}`;
    }

    function rail(side) {
      const track = tracks[state.track[side]], panel = sides[side], slider = panel.querySelector("input");
      const beads = track.map((column) => {
        const cell = told.cells[state.row][column], bead = make("i");
        if (cell) bead.style.setProperty("--verdict", told.verdicts[cell[0]].colour);
        bead.classList.toggle("reference", told.columns[column].reference);
        return bead;
      });
      const holder = panel.querySelector(".beads");
      holder.replaceChildren(...beads);
      holder.toggleAttribute("data-many", track.length > 50);
      slider.max = track.length - 1;
      slider.style.setProperty("--count", track.length);
      slider.value = track.indexOf(state.at[side]);
      const ends = panel.querySelectorAll(".ends span");
      ends[0].textContent = told.columns[track[0]].heading + (told.ranked ? ", then the best" : "");
      ends[1].textContent = told.columns[track.at(-1)].heading + (told.ranked ? ", the worst" : "");
      return slider;
    }

    // The buttons stay while the prompt does, and so does the keyboard's focus on one of them.
    function seeds(id) {
      const holder = $("#seeds"), held = holder.contains(document.activeElement), anew = holder.dataset.prompt !== id;
      if (anew) {
        holder.dataset.prompt = id;
        holder.replaceChildren(...casesOf(id).map((row) => make("button", told.cases[row].seed, { type: "button", "data-row": row })));
      }
      for (const button of holder.children) button.setAttribute("aria-pressed", Number(button.dataset.row) === state.row);
      if (anew && held) holder.querySelector("[aria-pressed=true]").focus();
    }

    function show() {
      looking.dataset.view = stage.dataset.view = state.view;
      stage.style.setProperty("--wipe", wipe.value);
      for (const side of [0, 1]) {
        if (side === 0 || state.view !== "one") paint(side);
        rail(side).setAttribute("aria-valuetext", say(side));
        sides[side].querySelector(".mode").value = state.track[side];
      }
      const id = told.cases[state.row].id;
      chooser.value = prompts.indexOf(id);
      chooser.title = told.cases[state.row].prompt;
      seeds(id);
      for (const button of $("#views").children) button.setAttribute("aria-pressed", button.dataset.view === state.view);
      $("#swap").hidden = state.view === "one";
      $("#together").hidden = state.view === "one" || tracks.length < 2;
      markCell(state.row, state.at[0]);
      axes?.show(state.row, state.at[0]);
    }

    // -- what changes them

    function nearestIn(track, column) {
      if (track.includes(column) || told.columns[column].value === null) return column;
      const own = track.filter((other) => !told.columns[other].reference);
      return nearest(own, (other) => Math.abs(told.columns[other].value - told.columns[column].value));
    }

    function to(side, column) {
      state.at[side] = column;
      if (!tracks[state.track[side]].includes(column)) state.track[side] = trackOf(column);
      const other = 1 - side, apart = state.track[0] !== state.track[1];
      if (apart && state.view !== "one" && $("#together input").checked) {
        const met = nearestIn(tracks[state.track[other]], column);
        if (tracks[state.track[other]].includes(met)) state.at[other] = met;
      }
      show();
    }

    function step(side, by) {
      const track = tracks[state.track[side]], next = track[track.indexOf(state.at[side]) + by];
      if (next !== undefined) to(side, next);
    }

    function toPrompt(index) {
      const id = prompts[index];
      if (id === undefined) return;
      const nth = casesOf(told.cases[state.row].id).indexOf(state.row), own = casesOf(id);
      state.row = own[Math.min(nth, own.length - 1)];
      show();
    }

    function toSeed(by) {
      const own = casesOf(told.cases[state.row].id);
      state.row = own[(own.indexOf(state.row) + by + own.length) % own.length];
      show();
    }

    function toView(view) {
      state.view = view;
      show();
    }

    function swap() {
      state.at.reverse();
      state.track.reverse();
      show();
    }

    function slide(by) {
      wipe.value = Number(wipe.value) + by;
      stage.style.setProperty("--wipe", wipe.value);
    }

    const keys = {
      ArrowLeft: (side) => step(side, -1),
      ArrowRight: (side) => step(side, 1),
      ArrowUp: () => toPrompt(prompts.indexOf(told.cases[state.row].id) - 1),
      ArrowDown: () => toPrompt(prompts.indexOf(told.cases[state.row].id) + 1),
      "[": () => toSeed(-1),
      "]": () => toSeed(1),
      s: () => toSeed(1),
      1: () => toView("one"),
      2: () => toView("wipe"),
      3: () => toView("beside"),
      ",": () => slide(-4),
      ".": () => slide(4),
      x: () => swap(),
    };

    function inSight() {
      const { top, bottom } = stage.getBoundingClientRect();
      return top < innerHeight * 0.8 && bottom > innerHeight * 0.2;
    }

    document.addEventListener("keydown", (event) => {
      const own = place.contains(event.target), loose = event.target === document.body;
      if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("select")) return;
      if (!own && !(loose && inSight())) return;
      const arrow = event.key.startsWith("Arrow"), sideways = event.key === "ArrowLeft" || event.key === "ArrowRight";
      if (loose && arrow && !sideways) return; // the page scrolls
      if (sideways && event.target === wipe) return; // the wipe's own
      const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
      if (!Object.hasOwn(keys, key)) return;
      event.preventDefault();
      keys[key](Number(event.target.closest?.(".side")?.dataset.side ?? 0));
    });

    for (const [side, panel] of sides.entries()) {
      panel.querySelector("input").addEventListener("input", (event) => to(side, tracks[state.track[side]][event.target.value]));
      const mode = panel.querySelector(".mode");
      mode.hidden = tracks.length < 2;
      mode.append(...modes.map((group, i) => make("option", group.heading, { value: i })));
      mode.addEventListener("change", () => {
        state.track[side] = Number(mode.value);
        state.at[side] = nearestIn(tracks[state.track[side]], state.at[side]);
        show();
      });
    }
    chooser.append(...prompts.map((id, i) => {
      const { prompt } = told.cases[casesOf(id)[0]];
      return make("option", `${id} · ${prompt.length > 110 ? prompt.slice(0, 109) + "…" : prompt}`, { value: i });
    }));
    chooser.addEventListener("change", () => toPrompt(Number(chooser.value)));
    $("#seeds").addEventListener("click", (event) => {
      const row = event.target.closest("button")?.dataset.row;
      if (row === undefined) return;
      state.row = Number(row);
      show();
    });
    $("#views").addEventListener("click", (event) => event.target.dataset.view && toView(event.target.dataset.view));
    $("#swap").addEventListener("click", swap);
    $("#together input").addEventListener("change", () => to(0, state.at[0]));
    wipe.addEventListener("input", () => slide(0));
    for (const jump of told.jumps) {
      const button = make("button", jump.text, { type: "button" });
      button.addEventListener("click", () => { state.row = jump.case; to(0, jump.column); });
      $(".jumps").append(button);
    }
    $(".jumps").hidden = told.jumps.length === 0;
    place.hidden = false;
    show();

    function open(row, column) {
      if (row !== null) state.row = row;
      to(0, column);
      place.scrollIntoView({ behavior: pace(), block: "start" });
      stage.focus({ preventScroll: true });
    }

    // From a curve: the place on it, which curve it is, and the prompt where the line is one's own.
    function follow(value, curve, prompt) {
      const track = tracks[Math.max(0, modes.findIndex((group) => told.groups.indexOf(group) === told.curves[curve]))];
      const own = track.filter((column) => told.columns[column].value !== null);
      if (!own.length) return;
      const column = nearest(own, (other) => Math.abs(told.columns[other].value - value));
      showColumn(column, "instant");
      open(prompt === undefined ? null : casesOf(prompt)[0], column);
    }

    return { open, follow };
  }
