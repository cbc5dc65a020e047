// Draws the diagrams of a page: blocks of code in the language mermaid.
for (const code of document.querySelectorAll("code.language-mermaid")) {
  const figure = document.createElement("pre");
  figure.className = "mermaid";
  figure.textContent = code.textContent;
  code.closest("pre").replaceWith(figure);
}
const dark = ["ayu", "coal", "navy"].some((theme) => document.documentElement.classList.contains(theme));
mermaid.initialize({ startOnLoad: true, theme: dark ? "dark" : "default" });
