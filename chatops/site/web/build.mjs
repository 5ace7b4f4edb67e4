// Builds the page into ../bundle: one script and one style sheet, named by their contents, with their integrity in
// index.html. With --tests, builds the unit tests into build/tests instead.
import { createHash } from "node:crypto";
import { mkdir, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import * as esbuild from "esbuild";

const here = new URL(".", import.meta.url);
const at = (path) => fileURLToPath(new URL(path, here));
const LIMIT = 120 * 1024; // gzipped, all in: the budget of the page

// MQTT.js brings its timers in a blob worker (which the Content-Security-Policy forbids), a logger, and in its
// ready-made browser file also clients for other transports. The client alone, with native timers, is half of that.
const alias = {
  "worker-timers": at("src/shims/worker-timers.ts"),
  debug: at("src/shims/debug.cjs"),
  "node:buffer": "buffer/",
  buffer: "buffer/",
};
const common = {
  bundle: true,
  format: "esm",
  target: ["chrome109", "firefox115", "safari16"],
  charset: "utf8",
  logLevel: "warning",
  absWorkingDir: at("."),
};

async function tests() {
  await rm(at("build"), { recursive: true, force: true });
  const names = (await readdir(at("test"))).filter((name) => name.endsWith(".test.ts"));
  await esbuild.build({
    ...common,
    entryPoints: names.map((name) => `test/${name}`),
    outdir: at("build/tests"),
    platform: "node",
    packages: "external",
    target: "node20",
    outExtension: { ".js": ".mjs" },
  });
}

async function page() {
  const built = await esbuild.build({
    ...common,
    entryPoints: ["src/main.ts", "src/style.css"],
    outdir: at("build/page"),
    write: false,
    minify: true,
    legalComments: "none",
    metafile: true,
    alias,
    inject: [at("src/shims/globals.ts")],
    define: { global: "globalThis", "process.env.NODE_ENV": '"production"' },
  });
  const out = at("../bundle");
  await rm(out, { recursive: true, force: true });
  await mkdir(`${out}/assets`, { recursive: true });
  const files = {};
  const add = async (path, contents) => {
    await writeFile(`${out}/${path}`, contents);
    files[path] = {
      integrity: `sha384-${createHash("sha384").update(contents).digest("base64")}`,
      bytes: contents.length,
      gzipped: gzipSync(contents, { level: 9 }).length,
    };
    return path;
  };
  const asset = async (name, extension, contents) => {
    const hash = createHash("sha256").update(contents).digest("hex").slice(0, 16);
    return add(`assets/${name}-${hash}.${extension}`, contents);
  };
  const find = (extension) => Buffer.from(built.outputFiles.find((file) => file.path.endsWith(extension)).contents);
  const script = await asset("page", "js", find(".js"));
  const style = await asset("page", "css", find(".css"));
  const icon = await asset("icon", "svg", await readFile(at("src/icon.svg")));
  const values = {
    script,
    style,
    icon,
    scriptIntegrity: files[script].integrity,
    styleIntegrity: files[style].integrity,
  };
  const template = await readFile(at("src/index.html"), "utf8");
  // What is left, {{policy}}, is the environment's and filled in by `chatops site build`.
  const html = template.replace(/\{\{(\w+)\}\}/g, (whole, name) => values[name] ?? whole);
  await add("index.html", Buffer.from(html));
  const gzipped = Object.values(files).reduce((sum, file) => sum + file.gzipped, 0);
  await writeFile(`${out}/bundle.json`, `${JSON.stringify({ gzipped, files }, null, 2)}\n`);
  if (gzipped > LIMIT) throw new Error(`the page is ${gzipped} bytes gzipped, more than ${LIMIT}`);
  console.log(`the page: ${gzipped} bytes gzipped in ${Object.keys(files).length} files`);
  if (process.argv.includes("--weigh")) console.log(await esbuild.analyzeMetafile(built.metafile));
}

await (process.argv.includes("--tests") ? tests() : page());
