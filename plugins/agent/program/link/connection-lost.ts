/** The appliance could not be reached, or the connection broke. Worth another try. */
export class ConnectionLost extends Error {
  constructor(url: string, cause: unknown) {
    super(`no connection to ${url}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
    this.name = 'ConnectionLost';
  }
}
