/** The look of /docs; both colour schemes. */
export const DOCS_STYLE = `
:root{--ink:#1c2330;--dim:#5c6675;--line:#dfe4ea;--paper:#fff;--panel:#f6f8fa;--accent:#0b66c3;--get:#0b6bcb;--put:#9a5b00;--post:#1a7f4b;--delete:#c0342b}
@media(prefers-color-scheme:dark){:root{--ink:#e3e8ef;--dim:#98a3b3;--line:#2b3442;--paper:#11161e;--panel:#181f2a;--accent:#6cb2ff;--get:#6cb2ff;--put:#f0b35c;--post:#5fd39a;--delete:#ff8078}}
*{box-sizing:border-box}
html{scroll-behavior:smooth;scroll-padding-top:1rem}
body{margin:0;display:grid;grid-template-columns:20rem minmax(0,1fr);color:var(--ink);background:var(--paper);font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
nav{position:sticky;top:0;height:100vh;overflow:auto;padding:1.25rem 1rem;background:var(--panel);border-right:1px solid var(--line)}
nav .brand{margin:0 0 1rem;font-size:1.15rem;font-weight:650}
nav h2{margin:1.2rem 0 .3rem;font-size:.75rem;text-transform:uppercase;letter-spacing:.07em;color:var(--dim)}
nav ul{list-style:none;margin:0;padding:0}
nav li a{display:flex;gap:.5rem;align-items:baseline;padding:.2rem .4rem;border-radius:6px;color:inherit;font:13px/1.4 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
nav li a:hover{background:var(--line);text-decoration:none}
main{max-width:56rem;padding:2rem 2.5rem 6rem}
h1{margin:0 0 .5rem;font-size:2rem;letter-spacing:-.02em}
small{color:var(--dim);font-weight:400;font-size:.85em}
.lead{font-size:1.08rem}
section>h2{margin:3rem 0 0;padding-top:1rem;border-top:1px solid var(--line);font-size:1.4rem}
article{margin:1.25rem 0;padding:1.1rem 1.3rem;border:1px solid var(--line);border-radius:10px}
article:target,tr:target{border-color:var(--accent);box-shadow:0 0 0 2px color-mix(in srgb,var(--accent) 30%,transparent)}
h3{display:flex;gap:.7rem;align-items:center;margin:0;font-size:1rem}
h4{margin:1.1rem 0 .3rem;font-size:.75rem;text-transform:uppercase;letter-spacing:.07em;color:var(--dim)}
.summary{margin:.5rem 0;font-weight:600}
a{color:var(--accent);text-decoration:none}
a:hover{text-decoration:underline}
code,pre,var{font:13px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
:not(pre)>code{padding:.1em .3em;border-radius:4px;background:var(--panel)}
h3 code{padding:0;background:none;font-size:15px}
var{color:var(--dim)}
.method{flex:none;min-width:3.6em;padding:.12em .4em;border-radius:5px;border:1px solid currentColor;text-align:center;font:600 11px/1.4 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
.get{color:var(--get)}.put{color:var(--put)}.post{color:var(--post)}.delete{color:var(--delete)}
table{width:100%;border-collapse:collapse}
th,td{padding:.45rem .5rem;border-top:1px solid var(--line);text-align:left;vertical-align:top;font-weight:400}
th{width:11rem}
th small,td>small{display:block}
.status{font:600 13px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
.s2,.s3{color:var(--post)}.s4{color:var(--put)}.s5{color:var(--delete)}
.headers{margin:.3rem 0 0;padding-left:1.1rem;color:var(--dim);font-size:.92em}
.content{margin-top:.35rem}
details{display:inline-block;margin-left:.6rem;vertical-align:top}
summary{cursor:pointer;color:var(--accent);font-size:.9em}
pre{margin:.4rem 0 0;padding:.7rem .9rem;border-radius:8px;background:var(--panel);overflow:auto;white-space:pre-wrap}
@media(max-width:60rem){body{display:block}nav{position:static;height:auto;border-right:0;border-bottom:1px solid var(--line)}main{padding:1.5rem 1.1rem 4rem}th{width:7.5rem}}
@media(prefers-reduced-motion:reduce){html{scroll-behavior:auto}}
`;
