/** Names of blobs: see {@link BlobStore}. */

const COMPONENT = /^[a-z0-9][a-z0-9._-]*$/;

/** Longest blob name, bytes. */
export const MAX_BLOB_NAME = 200;

/** Is this a clean blob name: `[a-z0-9][a-z0-9._-]*` components joined by `/`, at most 200 bytes? */
export function isBlobName(name: string): boolean {
  return name.length <= MAX_BLOB_NAME && name.split('/').every((part) => COMPONENT.test(part));
}

/** Throws a RangeError unless {@link isBlobName}: drivers call it first, so that no name leaves the store. */
export function assertBlobName(name: string): void {
  if (!isBlobName(name)) throw new RangeError(`${JSON.stringify(name)} is not a blob name`);
}
