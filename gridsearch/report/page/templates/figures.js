  // The figures, in the page's own colours and type.
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const drawn = new Set();
  let each = false, one = "", paper = false;
  const plotOf = (figure) => document.getElementById("plot-" + figure.id);

  function themed(layout, size) {
    const ink = css("--soft"), line = css("--line"), family = css("--text"), narrow = innerWidth < 640 || paper;
    const axis = { gridcolor: line, zeroline: false, linecolor: line, automargin: true, fixedrange: true };
    return {
      ...layout,
      ...size,
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { family, size: paper ? 9 : narrow ? 11 : 12.5, color: ink },
      margin: { l: narrow ? 44 : 56, r: 14, t: 14, b: 44 },
      xaxis: { ...layout.xaxis, ...axis },
      yaxis: { ...layout.yaxis, ...axis },
      shapes: layout.shapes.map((shape) => ({ ...shape, line: { color: ink, ...shape.line } })),
      legend: { ...layout.legend, orientation: "h", x: 0, y: 1.02, yanchor: "bottom" },
      hoverlabel: { font: { family }, align: "left" },
    };
  }

  // Each prompt's own line: faint where there are others, the chosen one strong and on top.
  function lines(figure) {
    const found = figure.prompts.flatMap(({ x, y }, curve) =>
      data.prompts.flatMap(({ id, text }, i) => {
        const chosen = id === one;
        if (!chosen && !each) return [];
        const several = figure.prompts.length > 1;
        return [{
          type: "scatter", mode: chosen ? "lines+markers" : "lines", x, y: y[i], showlegend: false,
          line: { color: several ? figure.data[curve].line.color : css(chosen ? "--mark" : "--soft"), width: chosen ? 3 : 1 },
          marker: { size: 5 }, opacity: chosen ? 1 : one ? 0.4 : 0.6,
          text: text, hovertemplate: "%{text}<br>%{x}: %{y:.3g}<extra></extra>", prompt: id, curve,
        }];
      }));
    return found.sort((a, b) => (a.prompt === one) - (b.prompt === one));
  }

  function draw(figure, size = {}) {
    const place = plotOf(figure), first = !drawn.has(figure);
    const own = lines(figure), layout = themed(figure.layout, size);
    if (own.length && figure.id !== "survived") layout.yaxis.range = null; // made for the mean
    Plotly.react(place, [...figure.data, ...own], layout, { responsive: true, displayModeBar: false });
    drawn.add(figure);
    if (first && figure.along) place.on("plotly_click", (event) => follow(figure, event.points[0]));
  }

  function follow(figure, { data: line, curveNumber, customdata, x }) {
    const [, number] = figure.id.match(/^verdicts-(\d+)$/) ?? [];
    const curve = line.curve ?? Number(number ?? (figure.prompts.length || figure.id === "tradeoff" ? curveNumber : 0));
    if (line.prompt !== undefined) only(line.prompt);
    comparer?.follow(customdata ?? x, curve, line.prompt); // where the ratio is not the axis, it comes along
  }

  const again = () => drawn.forEach((figure) => draw(figure));
  const withPrompts = () => drawn.forEach((figure) => figure.prompts.length && draw(figure));

  function only(prompt) {
    one = prompt;
    if (chosenPrompt) chosenPrompt.value = prompt;
    withPrompts();
  }

  const eachPrompt = document.getElementById("each-prompt"), chosenPrompt = document.getElementById("one-prompt");
  eachPrompt?.addEventListener("click", () => {
    each = !each;
    eachPrompt.setAttribute("aria-pressed", each);
    withPrompts();
  });
  const unescaped = (text) => new DOMParser().parseFromString(text, "text/html").documentElement.textContent;
  chosenPrompt?.append(...data.prompts.map(({ id, text }) => make("option", `${id} · ${unescaped(text)}`, { value: id })));
  chosenPrompt?.addEventListener("change", () => only(chosenPrompt.value));

  // Those in sight at once, the others one by one while nothing else is to do.
  const idle = window.requestIdleCallback ?? ((then) => setTimeout(then, 50));
  const inOrder = data.figures.filter((figure) => plotOf(figure).getBoundingClientRect().top < innerHeight);
  inOrder.forEach((figure) => draw(figure));
  const left = data.figures.filter((figure) => !inOrder.includes(figure));
  const next = () => {
    const figure = left.shift();
    if (figure && !drawn.has(figure)) draw(figure);
    if (left.length) idle(next);
  };
  idle(next);
  dark.addEventListener("change", again);

  // Paper is narrower than the screen, and has no scrolling that would draw the rest.
  addEventListener("beforeprint", () => {
    paper = true;
    for (const figure of data.figures) {
      const holder = plotOf(figure).closest("figure").classList;
      draw(figure, { width: holder.contains("wide") ? 660 : holder.contains("small") ? 150 : 318, height: 200, autosize: false });
    }
  });
  addEventListener("afterprint", () => {
    paper = false;
    again();
  });
