"use strict";
(() => {
  const root = document.documentElement;
  const plots = [...document.querySelectorAll(".plot")];
  const specs = plots.map((plot) => JSON.parse(plot.querySelector("script").textContent));

  // Colors written as @name stand for those of the theme.
  const themed = (value, colors) => {
    if (typeof value === "string") return value.startsWith("@") ? colors[value] : value;
    if (Array.isArray(value)) return value.map((item) => themed(item, colors));
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, themed(item, colors)]));
    }
    return value;
  };
  const themeColors = () => {
    const style = getComputedStyle(root);
    const get = (name) => style.getPropertyValue(name).trim();
    const ink = get("--ink");
    const channels = [1, 3, 5].map((i) => parseInt(ink.slice(i, i + 2), 16)).join(",");
    return { "@ink": ink, "@grid": get("--line"), "@paper": get("--paper"), "@inkband": `rgba(${channels},0.15)` };
  };
  const draw = (index) => {
    const { data, layout } = themed(specs[index], themeColors());
    window.Plotly.react(plots[index], data, layout, { displayModeBar: false, responsive: true });
  };
  // One figure per turn of the event loop, so that a page with many figures stays responsive while it loads.
  const drawAll = (index = 0) => {
    if (index >= plots.length) return;
    draw(index);
    setTimeout(() => drawAll(index + 1), 0);
  };

  let kept = null;
  try { kept = localStorage.getItem("echochamber-theme"); } catch { /* storage is closed to some local files */ }
  if (kept) root.dataset.theme = kept;
  document.getElementById("theme").addEventListener("click", () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    try { localStorage.setItem("echochamber-theme", root.dataset.theme); } catch { /* see above */ }
    drawAll();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawAll());
  drawAll();
})();
