"use strict";
(() => {
  const style = () => getComputedStyle(document.documentElement);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const source = document.getElementById("figures");
  const figures = source ? JSON.parse(source.textContent) : [];

  // The page's own colours and type; the figures themselves know only their data.
  function themed(layout) {
    const css = style(), ink = css.getPropertyValue("--soft").trim(), line = css.getPropertyValue("--line").trim();
    const narrow = innerWidth < 640;
    const axis = { gridcolor: line, zeroline: false, linecolor: line, automargin: true, fixedrange: true };
    return {
      ...layout,
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: css.getPropertyValue("--text").trim(), size: narrow ? 11 : 12.5, color: ink },
      margin: { l: narrow ? 44 : 56, r: 14, t: 14, b: 44 },
      xaxis: { ...layout.xaxis, ...axis },
      yaxis: { ...layout.yaxis, ...axis },
      shapes: layout.shapes.map((shape) => ({ ...shape, line: { color: ink, ...shape.line } })),
      legend: { ...layout.legend, orientation: "h", x: 0, y: 1.02, yanchor: "bottom" },
      hoverlabel: { font: { family: css.getPropertyValue("--text").trim() } },
    };
  }

  function draw() {
    for (const figure of figures) {
      const place = document.getElementById("plot-" + figure.id);
      Plotly.react(place, figure.data, themed(figure.layout), { responsive: true, displayModeBar: false });
    }
  }

  const grid = document.querySelector(".grid");
  function show(column, behavior) {
    const label = grid.querySelector("tbody th").offsetWidth;
    grid.scrollTo({ left: column.offsetLeft - (grid.clientWidth + label - column.offsetWidth) / 2, behavior });
  }

  draw();
  dark.addEventListener("change", draw);

  // A click on a curve brings that column of the grid into view.
  for (const figure of figures.filter((figure) => figure.along)) {
    document.getElementById("plot-" + figure.id).on("plotly_click", (event) => {
      const columns = [...grid.querySelectorAll("[data-value]")];
      const { customdata, x } = event.points[0]; // where the ratio is not the axis, it comes along
      const distance = (column) => Math.abs(column.dataset.value - (customdata ?? x));
      const nearest = columns.sort((a, b) => distance(a) - distance(b))[0];
      grid.scrollIntoView({ behavior: "smooth", block: "center" });
      show(nearest, "smooth");
    });
  }
  const best = grid && grid.querySelector("th.best");
  if (best) show(best, "instant");
  for (const strip of document.querySelectorAll(".strip ol")) {
    const chosen = strip.querySelector(".best");
    strip.scrollLeft = chosen.offsetLeft - strip.offsetLeft - (strip.clientWidth - chosen.offsetWidth) / 2;
  }
})();
