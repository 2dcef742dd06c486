  // The grid: pictures by row (a case) and column, and a click that opens one in the comparer.
  const grid = document.getElementById("grid");
  const rows = grid ? [...grid.querySelectorAll("tr.case")] : [];
  const heads = grid ? [...grid.querySelectorAll("thead tr:last-child th")].slice(1) : [];
  const cellAt = (row, column) => rows[row].cells[column + 1];

  // Tab would stop at every image of thousands; the comparer reaches them all from the keyboard.
  if (data.compare) for (const link of grid.querySelectorAll("td a")) link.tabIndex = -1;

  // To the middle, unless it is in sight from the first column on; the one at the left is never cut.
  function showColumn(column, behavior) {
    const head = heads[column], still = heads.filter((one) => getComputedStyle(one).position === "sticky");
    const edge = [grid.querySelector("tbody th"), ...still].reduce((sum, one) => sum + one.offsetWidth, 0);
    const wanted = head.offsetLeft - (grid.clientWidth + edge - head.offsetWidth) / 2;
    const first = heads.find((one) => !still.includes(one) && one.offsetLeft - edge >= wanted);
    const fits = still.includes(head) || head.offsetLeft + head.offsetWidth <= grid.clientWidth;
    const left = fits || !first ? 0 : first.offsetLeft - edge;
    const room = Math.max(0, left - (grid.scrollWidth - grid.clientWidth)); // at the right end, to scroll as far
    if (room) grid.querySelector("table").style.borderRight = `${room}px solid transparent`;
    grid.scrollTo({ left, behavior });
  }

  function markCell(row, column) {
    grid.querySelector("td.current")?.classList.remove("current");
    cellAt(row, column).classList.add("current");
  }

  const plainClick = (event) => event.button === 0 && !(event.ctrlKey || event.metaKey || event.shiftKey || event.altKey);

  grid?.addEventListener("click", (event) => {
    const cell = event.target.closest("td");
    if (!cell?.querySelector("a") || !plainClick(event) || !comparer) return;
    event.preventDefault();
    comparer.open(rows.indexOf(cell.parentElement), cell.cellIndex - 1);
  });

  for (const strip of document.querySelectorAll(".strip ol")) {
    const chosen = strip.querySelector(".best") ?? strip.children[0];
    const starts = [...strip.children].map((item) => item.offsetLeft - strip.children[0].offsetLeft);
    strip.scrollLeft = nearest(starts, aimed(chosen.offsetLeft - strip.offsetLeft, chosen, strip));
    strip.addEventListener("click", (event) => {
      const item = event.target.closest("a") && event.target.closest("li");
      if (!item || !plainClick(event) || !comparer) return;
      event.preventDefault();
      comparer.open(Number(item.dataset.row), Number(item.dataset.column));
    });
  }
  if (grid && data.compare) showColumn(data.compare.start.column, "instant");
