/** Starts the board: the Model of this device, the View of this page, and the Controller between them. */

import { Refused } from "../src/index.js";
import { Board } from "./board.js";
import { Controller } from "./controller.js";
import { View } from "./view.js";

const space = new URLSearchParams(location.search).get("space") ?? "board";
const url = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/sync`;
const view = new View();

try {
  const board = await Board.open(space, url);
  new Controller(board, view).start();
} catch (error) {
  if (!(error instanceof Refused)) throw error;
  view.stopped(`${error.message}. Go on there, or close it and reload this page.`);
}
