  // Two searched values, one across and one down, for the prompt and seed of the comparer.
  const axes = data.axes ? startAxes(document.getElementById("axes"), data.axes) : null;

  function startAxes(place, told) {
    const $ = (selector) => place.querySelector(selector);
    const across = $("#across"), down = $("#down"), others = told.start.slice(); // the place of each value
    let at = null; // the row and column that are shown in the comparer

    const columnOf = (values) => told.columns.findIndex((own) => own?.every((value, i) => value === values[i]));

    function cell(row, x, y) {
      const values = others.slice();
      values[across.value] = x;
      values[down.value] = y;
      const column = columnOf(values), node = make("td");
      if (column < 0) return node;
      const button = make("button", "", { type: "button" }), own = cellAt(row, column).firstElementChild;
      if (!own) return node;
      button.append(own.cloneNode(true));
      const link = button.querySelector("a"); // the button stands for it
      if (link) {
        link.removeAttribute("href");
        link.removeAttribute("tabindex");
      }
      button.addEventListener("click", () => comparer.open(row, column));
      node.classList.toggle("best", told.best === column);
      node.classList.toggle("current", at.column === column);
      node.append(button);
      return node;
    }

    function draw() {
      const [x, y] = [told.names[across.value], told.names[down.value]];
      const corner = make("th", "", { scope: "col" });
      corner.append(make("small", `${x.name} →`), make("small", `${y.name} ↓`));
      const head = make("tr");
      head.append(corner, ...x.values.map((value) => make("th", value, { scope: "col" })));
      $("thead").replaceChildren(head);
      $("tbody").replaceChildren(...y.values.map((value, j) => {
        const line = make("tr");
        line.append(make("th", value, { scope: "row" }), ...x.values.map((_, i) => cell(at.row, i, j)));
        return line;
      }));
      for (const label of $(".others").children) label.hidden = [across.value, down.value].includes(label.dataset.axis);
    }

    function choose(select, other) {
      if (select.value === other.value) other.value = told.names.findIndex((_, i) => String(i) !== select.value);
      draw();
    }

    for (const select of [across, down]) select.append(...told.names.map(({ name }, i) => make("option", name, { value: i })));
    [across.value, down.value] = [0, 1];
    across.addEventListener("change", () => choose(across, down));
    down.addEventListener("change", () => choose(down, across));
    $("#turn").addEventListener("click", () => {
      [across.value, down.value] = [down.value, across.value];
      draw();
    });
    const several = told.names.length > 2;
    for (const select of [across, down]) select.parentElement.hidden = !several;
    for (const [i, { name, values }] of told.names.entries()) {
      const label = make("label", `${name} `, { "data-axis": i }), select = make("select");
      select.append(...values.map((value, j) => make("option", value, { value: j })));
      select.value = others[i];
      select.addEventListener("change", () => { others[i] = Number(select.value); draw(); });
      label.append(select);
      $(".others").append(label);
    }
    place.hidden = false;

    function show(row, column) {
      at = { row, column };
      if (told.columns[column]) for (const [i, value] of told.columns[column].entries()) others[i] = value;
      for (const label of $(".others").children) label.querySelector("select").value = others[label.dataset.axis];
      draw();
      const holder = $(".grid"), cell = holder.querySelector(".current");
      const [corner, ...heads] = holder.querySelectorAll("thead th");
      const starts = heads.map((head) => head.offsetLeft - corner.offsetWidth);
      if (cell) holder.scrollLeft = nearest(starts, aimed(cell.offsetLeft, cell, holder));
    }
    return { show };
  }
