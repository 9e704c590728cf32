/** In a browser: tabs that share a replica, and pages that go on without a server. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Page } from "playwright-core";
import type * as Syncline from "../../src/index.js";
import { Server } from "../interop/server.js";
import { Site } from "./pages.js";

/** What a page has: the package, and what the test opened with it. */
declare const syncline: typeof Syncline;
declare const window: { shared: Syncline.SharedReplica; replica: Syncline.Replica; links: Syncline.WebRtcLinks };

let site: Site;
let server: Server;
before(async () => {
  site = await Site.open();
  server = await Server.start(undefined, 0, site.origin);
});
after(async () => {
  await site.close();
  await server.remove();
});

/** What a tab shows: whether it leads, its id, and the votes. */
const tabOf = (page: Page): Promise<{ leads: boolean; replica: string; votes: unknown }> =>
  page.evaluate(() => {
    const { shared } = window;
    return { leads: shared.leads, replica: shared.status.replica, votes: shared.show("todos", "t1")?.columns["votes"]?.["counter"] };
  });

const vote = (page: Page): Promise<number> =>
  page.evaluate(() => window.shared.write([{ collection: "todos", id: "t1", columns: { votes: { counter: 1 } } }]));

/** Has a tab open the replica that the tabs of its profile share. */
const share = (page: Page, space: string): Promise<void> =>
  page.evaluate(
    async ({ url, space }) => {
      const store = (): Promise<Syncline.Store> => syncline.IndexedDbStore.shared("home");
      window.shared = await syncline.SharedReplica.open({ space, name: "home", store, transport: syncline.webSocket(url) });
      window.shared.start();
    },
    { url: server.url, space },
  );

const votesAre = (page: Page, votes: number): Promise<unknown> =>
  page.waitForFunction((votes) => window.shared.show("todos", "t1")?.columns["votes"]?.["counter"] === votes, votes);

/** Ends the server as a loss of power would, and gives what starts it again on its folder and port. */
async function kill(): Promise<() => Promise<void>> {
  const { folder, url } = server;
  await server.kill();
  return async () => void (server = await Server.start(folder, Number(new URL(url).port), site.origin));
}

test("tabs of one profile share a store and an id, and another leads on where the one that led is closed", async () => {
  const context = await site.profile();
  const open = async (): Promise<Page> => {
    const page = await context.newPage();
    await page.goto(site.origin);
    await share(page, "tabs");
    return page;
  };
  const [a, b, c] = [await open(), await open(), await open()];
  const { replica } = await tabOf(a);
  await Promise.all([vote(a), vote(b), vote(c), vote(b)]);
  for (const page of [a, b, c]) await votesAre(page, 4);
  assert.deepEqual(
    [await tabOf(a), await tabOf(b)],
    [
      { leads: true, replica, votes: 4 },
      { leads: false, replica, votes: 4 },
    ],
  );
  // Nobody else may open the store meanwhile.
  const refused = await c.evaluate(() => syncline.IndexedDbStore.open("home").catch((error: Error) => error.message));
  assert.equal(refused, "another tab has this store open");

  // Writes are on their way to the tab that leads when it goes.
  const [late, later] = [vote(b), vote(c)];
  await a.close();
  await Promise.all([late, later, vote(c)]);
  for (const page of [b, c]) await votesAre(page, 7);
  assert.deepEqual(
    [await tabOf(b), await tabOf(c)],
    [
      { leads: true, replica, votes: 7 },
      { leads: false, replica, votes: 7 },
    ],
  );
  await b.reload();
  await c.waitForFunction(() => window.shared.leads && window.shared.status.inSync && window.shared.status.pending === 0);
  assert.deepEqual(await tabOf(c), { leads: true, replica, votes: 7 });
  await context.close();
});

test("two pages that met by the server go on over WebRTC when it is gone", async () => {
  const open = async (): Promise<Page> => {
    const page = await (await site.profile()).newPage();
    await page.goto(site.origin);
    await page.evaluate(async (url) => {
      const options = { space: "pages", store: new syncline.MemoryStore(), transport: syncline.webSocket(url) };
      window.replica = await syncline.Replica.open(options);
      window.replica.start();
      window.links = new syncline.WebRtcLinks(window.replica);
      window.replica.present(new Uint8Array());
      window.links.meet();
    }, server.url);
    return page;
  };
  const [a, b] = [await open(), await open()];
  for (const page of [a, b]) await page.waitForFunction(() => window.replica.status.links === 1);
  const restart = await kill();
  for (const page of [a, b]) await page.waitForFunction(() => !["streaming", "opening"].includes(window.replica.status.state));
  // A frame of many fragments one way, a small one the other.
  await a.evaluate(() =>
    window.replica.write([{ collection: "todos", id: "t1", fields: { notes: "n".repeat(200_000), title: "from a" } }]),
  );
  await b.waitForFunction(() => window.replica.show("todos", "t1")?.fields["title"] === "from a");
  await b.evaluate(() => window.replica.write([{ collection: "todos", id: "t1", fields: { title: "from b" } }]));
  await a.waitForFunction(() => window.replica.show("todos", "t1")?.fields["title"] === "from b");
  const lengths = await Promise.all(
    [a, b].map((page) => page.evaluate(() => String(window.replica.show("todos", "t1")?.fields["notes"]).length)),
  );
  assert.deepEqual(lengths, [200_000, 200_000]);

  // The server comes back, and has what was written without it.
  await restart();
  for (const page of [a, b]) await page.waitForFunction(() => window.replica.status.inSync && window.replica.status.pending === 0);

  // The one that only answers loses the link, of which no presence tells: the one that dials finds it again.
  const ids = await Promise.all([a, b].map((page) => page.evaluate(() => window.replica.status.replica)));
  const [dials, answers] = (ids[0] as string) < (ids[1] as string) ? [a, b] : [b, a];
  await answers.evaluate(() => {
    window.links.close();
    window.links = new syncline.WebRtcLinks(window.replica);
  });
  await answers.waitForFunction(() => window.replica.status.links === 0);
  await answers.waitForFunction(() => window.replica.status.links === 1);
  await dials.evaluate(() => window.links.close());
  await answers.waitForFunction(() => window.replica.status.links === 0);
});

test("a server that is killed finds what a reloaded and a duplicated tab wrote meanwhile, each of it once", async () => {
  const context = await site.profile();
  const tab = await context.newPage();
  await tab.goto(site.origin);
  await share(tab, "reload");
  await vote(tab);
  await tab.waitForFunction(() => window.shared.status.inSync);
  const { replica } = await tabOf(tab);

  const restart = await kill();
  await vote(tab);
  await tab.reload();
  await share(tab, "reload");
  await votesAre(tab, 2);
  // As a browser duplicates a tab: with what it had for its session.
  const [copy] = await Promise.all([context.waitForEvent("page"), tab.evaluate(() => void open(location.href))]);
  await copy.waitForFunction(() => typeof syncline === "object");
  await share(copy, "reload");
  await Promise.all([vote(copy), vote(tab)]);
  for (const page of [tab, copy]) {
    await votesAre(page, 4);
    const status = await page.evaluate(() => window.shared.status);
    assert.deepEqual([status.replica, status.pending, status.inSync], [replica, 3, false]);
  }

  await restart();
  for (const page of [tab, copy]) await page.waitForFunction(() => window.shared.status.inSync && window.shared.status.pending === 0);
  const other = await (await site.profile()).newPage();
  await other.goto(site.origin);
  await share(other, "reload");
  await votesAre(other, 4);
  assert.notEqual((await tabOf(other)).replica, replica);
  await Promise.all([context.close(), other.context().close()]);
});
