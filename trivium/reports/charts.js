// Draws every <figure class="chart"> from the JSON beside it, in the colours of the style sheet, light or dark.
"use strict";

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
}

// A figure names its colours as in the style sheet ("first", "muted"); here they become what the theme says.
function painted(traces) {
  return traces.map(function (trace) {
    const copy = JSON.parse(JSON.stringify(trace));
    for (const part of [copy.line, copy.marker]) {
      if (part && part.color) {
        part.color = Array.isArray(part.color) ? part.color.map(colour) : colour(part.color);
      }
    }
    if (copy.type === "heatmap") {
      copy.colorscale = [[0, "rgba(" + colour("heat") + ", 0)"], [1, "rgba(" + colour("heat") + ", 1)"]];
    }
    return copy;
  });
}

function laidOut(layout) {
  const axis = { gridcolor: colour("line"), zerolinecolor: colour("line"), linecolor: colour("line"), automargin: true };
  const base = {
    paper_bgcolor: "rgba(0, 0, 0, 0)", plot_bgcolor: "rgba(0, 0, 0, 0)",
    font: { family: "system-ui, sans-serif", size: 13, color: colour("ink") },
    margin: { l: 8, r: 16, t: 12, b: 8 }, hovermode: "closest", dragmode: false,
    legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" },
    hoverlabel: { bgcolor: colour("card"), bordercolor: colour("line"), font: { color: colour("ink") } },
  };
  const whole = Object.assign(base, layout);
  whole.xaxis = Object.assign({}, axis, layout.xaxis);
  whole.yaxis = Object.assign({}, axis, layout.yaxis);
  return whole;
}

function draw() {
  for (const figure of document.querySelectorAll("figure.chart")) {
    const description = JSON.parse(figure.querySelector("script").textContent);
    const options = { displayModeBar: false, responsive: true };
    Plotly.react(figure.querySelector(".plot"), painted(description.data), laidOut(description.layout), options);
  }
}

draw();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
