import assert from "node:assert/strict";
import { rm } from "node:fs/promises";
import test from "node:test";
import { folder, inSync, KillableBrowser, withServer } from "./board.mjs";

const KILLS = 20;
/** What the page has said is saved before its browser is killed. */
const SAVED_MIN = 30;

test(`a browser that is killed ${KILLS} times in the middle of writing loses nothing that it said is saved`, { timeout: 600_000 }, () =>
  withServer(async ({ server, device }) => {
    const path = await folder();
    const saved = new Set();
    let browser;
    try {
      for (let kills = 0; ; kills++) {
        browser = await KillableBrowser.start(path);
        const page = await browser.open(server().url);
        assert.deepEqual(await missing(page, saved), [], `after ${kills} kills`);
        if (kills === KILLS) {
          await inSync(page);
          break;
        }
        await writeUntil(page, `round ${kills}`, saved, saved.size + SAVED_MIN);
        await browser.kill();
      }
      assert.ok(saved.size >= KILLS * SAVED_MIN);
      assert.deepEqual(await missing(await device(), saved), [], "another device has them too");
    } finally {
      await browser?.kill();
      await rm(path, { recursive: true, force: true, maxRetries: 5 });
    }
  }),
);

/** Which of the saved titles the page does not show, wherever one scrolls to. */
async function missing(page, saved) {
  await page.waitForSelector("#status[data-state]");
  const shown = new Set(
    await page.evaluate(async () => {
      const rows = document.getElementById("rows");
      const found = new Set();
      for (let top = 0; ; top += rows.clientHeight) {
        rows.scrollTop = top;
        await new Promise((resolve) => requestAnimationFrame(resolve));
        for (const open of rows.querySelectorAll(".open")) found.add(open.textContent);
        if (top + rows.clientHeight >= rows.scrollHeight) return [...found];
      }
    }),
  );
  return [...saved].filter((title) => !shown.has(title));
}

/** Has the page write without a pause, as its form takes it, and hears what it says is saved, until that is enough. */
async function writeUntil(page, name, saved, enough) {
  let isEnough;
  const heard = new Promise((resolve) => (isEnough = resolve));
  await page.exposeFunction("heard", (said) => {
    if (said.startsWith("Saved ")) saved.add(said.slice("Saved ".length));
    if (saved.size >= enough) isEnough();
  });
  await page.evaluate((name) => {
    const form = document.getElementById("new-task");
    new MutationObserver((records) => {
      for (const { addedNodes } of records) for (const node of addedNodes) window.heard(node.textContent);
    }).observe(document.getElementById("live"), { childList: true });
    let n = 0;
    setInterval(() => {
      for (let i = 0; i < 5; i++) {
        form.elements.namedItem("title").value = `${name}, task ${n++}`;
        form.requestSubmit();
      }
    }, 5);
  }, name);
  await heard;
}
