import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import test from "node:test";
import { add, fingerprint, inSync, offline, row, titles, withServer } from "./board.mjs";

const SHOTS = new URL("../../dist/screenshots/", import.meta.url).pathname;

test("a live edit appears on the other device", () =>
  withServer(async ({ device }) => {
    const [ann, ben] = [await device(), await device()];
    await add(ann, "Buy milk");
    await row(ben, "Buy milk").waitFor();
    await row(ben, "Buy milk").locator(".check").click();
    await ann.waitForSelector("#rows li.is-done");
  }));

test("devices that wrote against each other offline become equal, and notes wait to be picked", () =>
  withServer(async ({ device }) => {
    const [ann, ben] = [await device(), await device()];
    await add(ann, "Plan");
    await row(ben, "Plan").waitFor();
    for (const [page, name] of [
      [ann, "ann"],
      [ben, "ben"],
    ]) {
      await offline(page, true);
      await row(page, "Plan").locator(".vote").click();
      await row(page, "Plan").locator(".open").click();
      await page.fill("[name=tags]", name);
      await page.fill("[name=notes]", `as ${name} says`);
      await page.press("[name=notes]", "Tab");
      await page.waitForFunction(() => document.querySelector("#status .text").textContent.includes("to send"));
    }
    for (const page of [ann, ben]) await offline(page, false);
    for (const page of [ann, ben]) {
      await page.waitForFunction(() => document.querySelectorAll(".versions article").length === 2);
      await inSync(page);
      assert.match(await row(page, "Plan").locator(".vote").textContent(), /2/);
      assert.deepEqual(await row(page, "Plan").locator(".tag").allTextContents(), ["#ann", "#ben"]);
      assert.match(await page.textContent("#merged"), /votes was 1 here, is 2/);
    }
    assert.equal(await fingerprint(ann), await fingerprint(ben));
    await ann.click("#inspect");
    await ben.click("#inspect");
    await mkdir(SHOTS, { recursive: true });
    await ann.screenshot({ path: `${SHOTS}conflict-1280.png` });
    await ann.locator("[data-pick]").first().click();
    for (const page of [ann, ben]) await page.waitForSelector("textarea[name=notes]");
  }));

test("a reload keeps what is pending, and a killed server gets it when it is back", () =>
  withServer(async ({ server, restart, device }) => {
    const [ann, ben] = [await device(), await device()];
    await add(ann, "Before");
    await row(ben, "Before").waitFor();
    await inSync(ann);
    await server().kill();
    await ann.waitForSelector('#status:not([data-state="in-sync"])');
    await add(ann, "While it is gone");
    await restart();
    await ann.reload();
    await row(ann, "While it is gone").waitFor();
    await inSync(ann);
    await row(ben, "While it is gone").waitFor({ timeout: 60_000 });
  }));

test("two tabs of one browser are one device, and the one that stays goes on", () =>
  withServer(async ({ device }) => {
    const [ann, ben] = [await device(), await device()];
    const twin = await ann.context().newPage();
    await twin.goto(ann.url());
    await inSync(twin);
    await add(twin, "One");
    for (const page of [ann, ben]) await row(page, "One").waitFor();
    const thereOnce = () => ben.waitForFunction(() => /^Here: guest ....$/.test(document.getElementById("others").textContent));
    await thereOnce();
    await ann.close();
    await add(twin, "Two");
    await row(ben, "Two").waitFor();
    await thereOnce();
  }));

test("the tabs of a browser show one offline switch", () =>
  withServer(async ({ device }) => {
    const ann = await device();
    const twin = await ann.context().newPage();
    await twin.goto(ann.url());
    await inSync(twin);
    await twin.click("#offline");
    for (const page of [ann, twin]) await page.waitForSelector("#offline:checked");
    await twin.reload();
    await twin.waitForSelector("#offline:checked");
    await twin.click("#offline");
    for (const page of [ann, twin]) {
      await page.waitForSelector("#offline:not(:checked)");
      await inSync(page);
    }
  }));

test("devices that are linked directly go on together without the server, which then has it all", () =>
  withServer(async ({ server, restart, device }) => {
    const [ann, ben] = [await device(), await device()];
    for (const page of [ann, ben]) await page.setChecked("#direct", true);
    for (const page of [ann, ben])
      await page.waitForFunction(() => document.querySelector("#status .text").textContent.includes("1 direct"));
    await server().kill();
    for (const page of [ann, ben]) await page.waitForSelector('#status:not([data-state="in-sync"])');
    await add(ann, "From Ann");
    await row(ben, "From Ann").waitFor();
    await row(ben, "From Ann").locator(".vote").click();
    await row(ann, "From Ann").locator(".vote", { hasText: "1" }).waitFor();
    await ann.screenshot({ path: `${SHOTS}direct-1280.png` });
    await restart();
    await row(await device(), "From Ann")
      .locator(".vote", { hasText: "1" })
      .waitFor();
    await ben.setChecked("#direct", false);
    await ann.waitForFunction(() => !document.querySelector("#status .text").textContent.includes("direct"));
  }));

test("all of it can be done by keyboard", () =>
  withServer(async ({ device }) => {
    const page = await device();
    const focused = (selector) => page.waitForFunction((selector) => document.activeElement.matches(selector), selector);
    const keys = async (...names) => {
      for (const name of names) await page.keyboard.press(name);
    };
    await keys("n");
    await focused("#new-task input");
    for (const title of ["Third", "Second", "First"]) {
      await page.keyboard.type(title);
      await keys("Enter");
      await row(page, title).waitFor();
    }
    await keys("Escape");
    await focused("li .open");
    assert.deepEqual(await titles(page), ["First", "Second", "Third"]);
    await keys("ArrowDown", "d");
    await row(page, "Second").and(page.locator(".is-done")).waitFor();
    await keys("Enter");
    await focused("#detail [name=title]");
    await keys("Control+a");
    await page.keyboard.type("Second, changed");
    await keys("Tab", "Escape");
    await focused("li .open");
    await row(page, "Second, changed").waitFor();
    await keys("x", "ArrowDown", "x");
    await page.waitForFunction(() => document.getElementById("count").textContent === "2 selected");
    await keys("Delete");
    await row(page, "Third").waitFor({ state: "detached" });
    await keys("Control+z");
    await row(page, "Third").waitFor();
    const named = await page.evaluate(() =>
      [...document.querySelectorAll("button, input, select, textarea")].every(
        (control) => control.ariaLabel || control.textContent.trim() || control.labels?.length,
      ),
    );
    assert.ok(named, "each control has a name");
  }));

for (const [width, height] of [
  [390, 844],
  [1280, 800],
])
  for (const scheme of ["light", "dark"])
    test(`the board at ${width} pixels, ${scheme}`, () =>
      withServer(async ({ device }) => {
        const page = await device({ width, height }, scheme);
        for (const title of ["Water the plants", "Call the plumber about the kitchen sink before Friday", "Buy milk"])
          await add(page, title);
        await row(page, "Water the plants").locator(".open").click();
        for (const [name, value] of Object.entries({ due: "2030-05-01", assignee: "Ann", tags: "home, garden" }))
          await page.fill(`#detail [name=${name}]`, value);
        await page.selectOption("#detail [name=priority]", "3");
        await page.click("#detail .close");
        await row(page, "Buy milk").locator(".check").click();
        await page.locator("#rows .select").last().click();
        await mkdir(SHOTS, { recursive: true });
        await page.screenshot({ path: `${SHOTS}board-${width}-${scheme}.png` });
        assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "nothing is wider than the page");
        await row(page, "Buy milk").locator(".open").click();
        await page.screenshot({ path: `${SHOTS}task-${width}-${scheme}.png` });
        await page.click("#detail .close");
        await fingerprint(page);
        await page.screenshot({ path: `${SHOTS}inspector-${width}-${scheme}.png` });
        assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "nor with the inspector");
      }));
