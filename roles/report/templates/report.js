/*
Copyright (c) 2026, the comaster.mysql_repl authors
GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
SPDX-License-Identifier: GPL-3.0-or-later
*/
"use strict";
const openTarget = () => {
  const target = location.hash && document.getElementById(location.hash.slice(1));
  if (target) {
    target.querySelector("details").open = true;
    target.scrollIntoView();
  }
};
addEventListener("hashchange", openTarget);
openTarget();
for (const card of document.querySelectorAll(".list")) {
  const tools = card.querySelector(".tools"), search = tools.querySelector("input"), shown = tools.querySelector("output");
  const same = card.querySelector("details.same"), items = [...card.querySelectorAll("li[data-status]")];
  const buttons = [...tools.querySelectorAll("button[data-status]")], all = tools.querySelector("button[data-open]");
  const names = items.map((item) => item.dataset.name.toLowerCase());
  const filter = () => {
    const text = search.value.trim().toLowerCase();
    const wanted = new Set(buttons.filter((b) => b.getAttribute("aria-pressed") === "true").map((b) => b.dataset.status));
    let n = 0;
    items.forEach((item, i) => {
      const is = (!text || names[i].includes(text)) && (!wanted.size || wanted.has(item.dataset.status));
      item.hidden = !is;
      n += is;
    });
    const narrowed = Boolean(text || wanted.size);
    if (same) {
      const some = [...same.querySelectorAll("li[data-status]")].some((item) => !item.hidden);
      same.hidden = !some;
      if (narrowed && some) same.open = true;
    }
    shown.textContent = narrowed ? `${n} of ${items.length}` : "";
  };
  search.addEventListener("input", filter);
  for (const button of buttons) {
    button.addEventListener("click", () => {
      button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") !== "true"));
      filter();
    });
  }
  if (all) {
    all.addEventListener("click", () => {
      const open = all.dataset.open === "no";
      for (const item of items) {
        const details = item.querySelector("details");
        if (details && !item.hidden) details.open = open;
      }
      all.dataset.open = open ? "yes" : "no";
      all.textContent = open ? "Close all" : "Open all";
    });
  }
  tools.hidden = false;
}
