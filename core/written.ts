/** Responses that are written by hand, so that whoever writes knows when a buffer may be used again. */

import type { ServerResponse } from 'node:http';

/** Resolves once the system has these pieces, or the client is gone: then the response is destroyed. */
export function written(response: ServerResponse, pieces: readonly Uint8Array[]): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      response.off('close', done);
      resolve();
    };
    const last = pieces.at(-1);
    if (last === undefined || response.destroyed) return resolve();
    response.once('close', done);
    const { socket } = response;
    socket?.cork();
    response.cork();
    for (const piece of pieces.slice(0, -1)) response.write(piece);
    response.write(last, done);
    response.uncork();
    socket?.uncork();
  });
}
