/** HTTP as iPXE, the ramdisk's loader and its agent speak it, from the machine's own address. */

import http from 'node:http';

export interface HttpAsk {
  readonly from: string;
  readonly method?: 'GET' | 'POST';
  readonly bearer?: string;
  readonly json?: object;
  /** Only these first bytes. */
  readonly first?: number;
  /** Gets the body piece by piece; without it the body is returned. What it throws ends the fetch. */
  readonly take?: (piece: Buffer) => void;
}

/** Status 200 or 206 and the whole body, else it rejects with what was said instead. */
export function fetchHttp(url: string, ask: HttpAsk): Promise<Buffer> {
  const { from, method = 'GET', bearer, json, first, take } = ask;
  const body = json === undefined ? undefined : JSON.stringify(json);
  return new Promise((resolve, reject) => {
    const request = http.request(url, {
      method,
      localAddress: from,
      agent: false,
      headers: {
        connection: 'close',
        ...(bearer === undefined ? {} : { authorization: `Bearer ${bearer}` }),
        ...(first === undefined ? {} : { range: `bytes=0-${first - 1}` }),
        ...(body === undefined
          ? {}
          : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }),
      },
    });
    request.on('error', reject);
    request.on('response', (answer) => {
      const good = answer.statusCode === 200 || answer.statusCode === 206;
      const pieces: Buffer[] = [];
      answer.on('data', (piece: Buffer) => {
        if (!good || take === undefined) return void pieces.push(piece);
        try {
          take(piece);
        } catch (error) {
          answer.destroy(error as Error);
        }
      });
      answer.on('error', reject);
      answer.on('end', () => {
        const whole = Buffer.concat(pieces);
        if (good && answer.complete) resolve(whole);
        else
          reject(new Error(`${method} ${url}: ${answer.statusCode} ${whole.toString('utf8').slice(0, 200)}`));
      });
    });
    request.end(body);
  });
}
