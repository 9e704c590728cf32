"use strict";
(() => {
  const form = document.getElementById("filter");
  const chapters = [...document.querySelectorAll("details.chapter")];
  const rules = [...document.querySelectorAll("li.rule")].map((rule) => [rule, rule.textContent.toLowerCase()]);
  const matches = document.getElementById("matches");
  const unfold = document.getElementById("unfold");
  const folded = new Map(chapters.map((chapter) => [chapter, chapter.open]));

  const filter = () => {
    const words = form.elements.words.value.toLowerCase().split(" ").filter(Boolean);
    const standing = form.elements.standing.value;
    const idle = words.length === 0 ? standing === "" : false;
    let count = 0;
    rules.forEach(([rule, text]) => {
      const fits = standing === "" ? true : rule.dataset.standing === standing;
      rule.hidden = fits ? !words.every((word) => text.includes(word)) : true;
      count += rule.hidden ? 0 : 1;
    });
    chapters.forEach((chapter) => {
      chapter.hidden = chapter.querySelector("li.rule:not([hidden])") === null;
      chapter.open = idle ? folded.get(chapter) : true;
    });
    matches.textContent = idle ? "" : count === 1 ? "1 rule" : count + " rules";
  };

  form.hidden = false;
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  unfold.addEventListener("click", () => {
    const open = unfold.getAttribute("aria-pressed") === "false";
    unfold.setAttribute("aria-pressed", String(open));
    unfold.textContent = open ? "Fold all" : "Unfold all";
    chapters.forEach((chapter) => {
      chapter.open = open;
      folded.set(chapter, open);
    });
  });

  const reveal = () => {
    const target = location.hash ? document.getElementById(decodeURIComponent(location.hash.slice(1))) : null;
    if (target === null) return;
    if (target.hidden) {
      form.reset();
      filter();
    }
    for (let at = target; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
    target.scrollIntoView();
  };
  window.addEventListener("hashchange", reveal);
  reveal();

  document.querySelectorAll("button.copy").forEach((button) => {
    if (navigator.clipboard === undefined) return;
    button.hidden = false;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(button.parentElement.querySelector("code").textContent);
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
  });
  window.addEventListener("beforeprint", () => document.querySelectorAll("details.chapter, details.failure").forEach((one) => { one.open = true; }));
})();
