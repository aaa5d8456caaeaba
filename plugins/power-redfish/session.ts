/** Who we are to one Redfish service: a session where it offers them (DSP0266 §13.3.4), else the password each time. */

import {
  type Answer,
  type Method,
  type Order,
  passwordOf,
  RedfishError,
  type Service,
  send,
} from './client.ts';
import { ownPath } from './paths.ts';

const ROOT = '/redfish/v1/';
const UNAUTHORIZED = 401;

interface Session {
  readonly token: string;
  /** Where it is deleted; some services do not say. */
  readonly path: string | undefined;
}

/**
 * One management controller. A session is opened at the first request, used for all, opened anew when the service no
 * longer knows it, and deleted by `close`: controllers hold only a few.
 */
export class RedfishClient {
  readonly service: Service;
  #session: Promise<Session | undefined> | undefined;

  constructor(service: Service) {
    this.service = service;
  }

  /** One request with our credentials. Rejects with {@link RedfishError} for every status but 2xx. */
  async ask(
    method: Method,
    path: string,
    { body, ifMatch, signal }: { body?: object; ifMatch?: string | undefined; signal: AbortSignal },
  ): Promise<Answer> {
    const match = ifMatch === undefined ? {} : { 'if-match': ifMatch };
    const attempt = async (): Promise<Answer> => {
      const headers = { ...(await this.#credentials(signal)), ...match };
      return send(this.service, method, path, { ...(body === undefined ? {} : { body }), headers, signal });
    };
    const used = this.#session;
    try {
      return await attempt();
    } catch (error) {
      const stale = error instanceof RedfishError && error.status === UNAUTHORIZED && used !== undefined;
      if (!stale) throw error;
      // It ran out, or the controller was restarted: whoever comes first opens another one.
      if (this.#session === used) this.#session = undefined;
      return attempt();
    }
  }

  /** Deletes the session, if there is one; rejects when the service does not take that. Another request opens one. */
  async close(signal: AbortSignal): Promise<void> {
    const session = await this.#session?.catch(() => undefined);
    this.#session = undefined;
    if (session?.path === undefined) return;
    await send(this.service, 'DELETE', session.path, { headers: { 'x-auth-token': session.token }, signal });
  }

  async #credentials(signal: AbortSignal): Promise<Readonly<Record<string, string>>> {
    this.#session ??= this.#open(signal).catch((error: unknown) => {
      this.#session = undefined;
      throw error;
    });
    const session = await this.#session;
    if (session !== undefined) return { 'x-auth-token': session.token };
    const password = await passwordOf(this.service);
    return { authorization: `Basic ${Buffer.from(`${this.service.user}:${password}`).toString('base64')}` };
  }

  /** `undefined` where the service has no sessions. A wrong password rejects. */
  async #open(signal: AbortSignal): Promise<Session | undefined> {
    const sessions = await this.#sessionsPath(signal);
    if (sessions === undefined) return undefined;
    const body = { UserName: this.service.user, Password: await passwordOf(this.service) };
    const order: Order = { body, signal };
    const { headers } = await send(this.service, 'POST', sessions, order);
    const token = headers['x-auth-token'];
    if (typeof token !== 'string') return undefined;
    const { location } = headers;
    // A path, or a whole URL of the same service.
    const path = location === undefined ? undefined : new URL(location, this.service.url).pathname;
    return { token, path: path === undefined ? undefined : ownPath(path) };
  }

  /** The root needs no credentials (DSP0266 §13.3.1); a service that wants some for it is given the password instead. */
  async #sessionsPath(signal: AbortSignal): Promise<string | undefined> {
    try {
      const { body } = await send(this.service, 'GET', ROOT, { signal });
      const { Links } = (body ?? {}) as { Links?: { Sessions?: { '@odata.id'?: unknown } } };
      const path = Links?.Sessions?.['@odata.id'];
      return typeof path === 'string' ? ownPath(path) : undefined;
    } catch (error) {
      if (error instanceof RedfishError) return undefined;
      throw error;
    }
  }
}
