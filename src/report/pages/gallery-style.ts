// The style sheet of galleries.

export const GALLERY_STYLE = `
:root {
  --page: #f6f7f9; --panel: #ffffff; --ink: #1c2128; --pale: #5b6572; --line: #dfe3e8;
  --right: #1a7f45; --wrong: #c2381d; --shadow: 0 1px 2px #0f172a14, 0 4px 14px #0f172a0d;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #101317; --panel: #191e24; --ink: #e8ebef; --pale: #98a3b1; --line: #2b323b;
    --right: #4cc38a; --wrong: #ff8a6b; --shadow: none;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: clamp(1rem, 4vw, 3rem); max-width: 84rem;
  background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif;
}
h1 { margin: 0; font-size: clamp(1.6rem, 4vw, 2.3rem); line-height: 1.2; letter-spacing: -0.02em; }
h2 { margin: 2.75rem 0 0.75rem; font-size: 1.2rem; letter-spacing: -0.01em; overflow-wrap: anywhere; }
p { margin: 0 0 1rem; max-width: 46rem; overflow-wrap: anywhere; }
.subtitle { margin-top: 0.5rem; color: var(--pale); font-size: 1.05rem; }
/* Texts may be of any length, the page is not to be. */
.text, .prompt { max-height: 9rem; overflow-y: auto; }
.text { color: var(--pale); }
.facts { margin: 0; color: var(--pale); font-size: 0.9rem; }
.facts, .words dl { display: flex; flex-wrap: wrap; gap: 0.1rem 0.75rem; }
.facts { gap: 0.2rem 1.25rem; }
.facts div, .words dl div { display: flex; gap: 0.3rem; min-width: 0; }
.facts dd, .words dd { margin: 0; unicode-bidi: plaintext; color: var(--ink); font-variant-numeric: tabular-nums; overflow-wrap: anywhere; min-width: 0; }
.count {
  margin-left: 0.3rem; padding: 0.1rem 0.55rem; border-radius: 1rem;
  background: var(--line); color: var(--pale); font-size: 0.8rem; font-weight: 500; vertical-align: 0.1em;
}
.figures { display: flex; flex-wrap: wrap; gap: 0.9rem; margin: 1.75rem 0 0; }
.figures div {
  flex: 1 1 9rem; max-width: 20rem; padding: 0.9rem 1.2rem;
  background: var(--panel); border: 1px solid var(--line); border-radius: 0.8rem; box-shadow: var(--shadow);
}
.figures dt { color: var(--pale); font-size: 0.85rem; }
.figures dd { margin: 0; font-size: 1.75rem; font-weight: 650; letter-spacing: -0.02em; }
.scroll {
  width: fit-content; min-width: min(100%, 40rem); max-width: 100%; overflow-x: auto; background: var(--panel);
  border: 1px solid var(--line); border-radius: 0.8rem; box-shadow: var(--shadow);
}
table { width: 100%; border-collapse: collapse; }
th, td { padding: 0.6rem 1rem; text-align: left; white-space: nowrap; }
th { color: var(--pale); font-size: 0.82rem; font-weight: 550; }
td { border-top: 1px solid var(--line); }
.number { text-align: right; font-variant-numeric: tabular-nums; }
.cards {
  display: grid; grid-template-columns: repeat(auto-fill, minmax(min(10.5rem, 45%), 1fr)); gap: 1rem;
  margin: 0; padding: 0; list-style: none;
}
.cards li {
  display: flex; flex-direction: column; overflow: hidden;
  background: var(--panel); border: 1px solid var(--line); border-radius: 0.8rem; box-shadow: var(--shadow);
}
.cards li.right { border-color: var(--right); }
.cards li.wrong { border-color: var(--wrong); border-style: dashed; }
.cards img { display: block; width: 100%; height: auto; }
.pixelated { image-rendering: pixelated; }
.words { display: flex; flex-direction: column; gap: 0.45rem; flex: 1; padding: 0.7rem 0.85rem 0.8rem; }
.prompt { margin: 0; font-size: 0.9rem; line-height: 1.4; }
.mark { font-size: 0.78rem; font-weight: 650; }
.right .mark { color: var(--right); }
.wrong .mark { color: var(--wrong); }
.words dl { margin: auto 0 0; color: var(--pale); font-size: 0.75rem; }
footer { margin-top: 3rem; padding-top: 1rem; border-top: 1px solid var(--line); color: var(--pale); font-size: 0.85rem; }
@media print { .cards li { break-inside: avoid; } }
`;
