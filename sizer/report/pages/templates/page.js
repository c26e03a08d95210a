"use strict";
const unpacked = (value) => {
  if (value === null || typeof value !== "object") return value;
  if (Array.isArray(value)) return value.map(unpacked);
  if (!Array.isArray(value._rows)) return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, unpacked(each)]));
  return value._rows.map((row) => Object.fromEntries(row.map((each, at) => [value._columns[at], unpacked(each)])));
};
for (const button of document.querySelectorAll("button[data-record]")) {
  button.hidden = false;
  button.addEventListener("click", () => {
    const record = unpacked(JSON.parse(document.getElementById(button.dataset.record).textContent));
    const text = JSON.stringify(record, null, 2);
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
    link.download = `${record.format.replace(/[^a-z0-9]+/gi, "-")}.json`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  });
}
const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -Infinity, End: Infinity };
for (const picture of document.querySelectorAll(".sizer-report svg")) {
  const points = [...picture.querySelectorAll(".met")];
  points.slice(1).forEach((point) => point.setAttribute("tabindex", "-1"));
  picture.addEventListener("keydown", (event) => {
    const at = points.indexOf(document.activeElement);
    if (at < 0 || !(event.key in steps)) return;
    event.preventDefault();
    const next = points[Math.min(Math.max(at + steps[event.key], 0), points.length - 1)];
    points[at].setAttribute("tabindex", "-1");
    next.setAttribute("tabindex", "0");
    next.focus();
  });
}
