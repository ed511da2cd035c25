/** When to ask for changes next. Pure. */

export const RUNNING_MS = 1000;
export const IDLE_MS = 10000;
const LONGEST_MS = 15000;
const MEDIA_MS = 3000;

/**
 * @param {{isVisible: boolean, isRunning: boolean, failures: number}} state
 * @returns {number|null} milliseconds, or null: not before the page is seen again
 */
export function nextPollMs({ isVisible, isRunning, failures }) {
  if (!isVisible) return null;
  if (failures > 0) return Math.min(LONGEST_MS, RUNNING_MS * 2 ** (failures - 1));
  return isRunning ? RUNNING_MS : IDLE_MS;
}

/** When to look for new media of a run that grows: a twentieth of the time goes there at most. */
export function nextMediaMs(tookMs) {
  return Math.max(MEDIA_MS, 20 * tookMs);
}
