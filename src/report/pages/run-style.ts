// The style sheet of a run's page, in addition to the gallery's.

export const RUN_STYLE = `
:root { --s0: #2563eb; --s1: #d9730d; --s2: #0f8a6d; --s3: #a03bbd; --s4: #c2381d; --s5: #6b7280; }
@media (prefers-color-scheme: dark) {
  :root { --s0: #6ea8ff; --s1: #f5a45d; --s2: #4fd1ae; --s3: #d68cf0; --s4: #ff8a6b; --s5: #a3acb8; }
}
.s0 { --c: var(--s0); } .s1 { --c: var(--s1); } .s2 { --c: var(--s2); }
.s3 { --c: var(--s3); } .s4 { --c: var(--s4); } .s5 { --c: var(--s5); }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(25rem, 100%), 1fr)); gap: 1rem; }
.chart {
  margin: 0; padding: 0.9rem 1rem 0.8rem; background: var(--panel); border: 1px solid var(--line);
  border-radius: 0.8rem; box-shadow: var(--shadow);
}
.chart figcaption { font-weight: 600; font-size: 0.95rem; }
.chart .unit { color: var(--pale); font-weight: 400; font-size: 0.82rem; }
.chart svg { display: block; width: 100%; height: auto; margin-top: 0.4rem; }
.grid { stroke: var(--line); }
.axis { stroke: var(--pale); }
.tick { fill: var(--pale); font-size: 12px; font-variant-numeric: tabular-nums; }
@media (max-width: 40rem) { .tick { font-size: 15px; } }
.line { fill: none; stroke: var(--c); stroke-width: 1.9; stroke-linejoin: round; }
.line.sparse { stroke-width: 1.6; }
.band { fill: var(--c); opacity: 0.16; }
.dot { fill: var(--panel); stroke: var(--c); stroke-width: 1.8; }
.broken { stroke: var(--wrong); stroke-width: 2; stroke-dasharray: 3 3; }
.legend {
  display: flex; flex-wrap: wrap; gap: 0.15rem 1rem; margin: 0.4rem 0 0; padding: 0; list-style: none;
  color: var(--pale); font-size: 0.82rem; font-variant-numeric: tabular-nums;
}
.key { display: inline-block; width: 1.1rem; height: 0.2rem; margin-right: 0.4rem; border-radius: 1rem; background: var(--c); vertical-align: 0.2rem; }
.wide .cards { grid-template-columns: repeat(auto-fill, minmax(min(22rem, 100%), 1fr)); }
.warnings { margin: 0; padding-left: 1.2rem; max-width: 60rem; overflow-wrap: anywhere; }
details { background: var(--panel); border: 1px solid var(--line); border-radius: 0.8rem; padding: 0.7rem 1rem; }
summary { cursor: pointer; }
pre { margin: 0.6rem 0 0; overflow-x: auto; font-size: 0.82rem; line-height: 1.45; }
`;
