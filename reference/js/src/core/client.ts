import { Profile } from "./change.js";
export const OFFERED = [...Object.values(Profile)];
