import type { Entry } from '@overdub/core';
import { OverdubError } from '@overdub/core';
import { Type } from 'typebox';
import { type Api, route } from '../route.ts';
import { sendBytes, sendLines } from '../streams.ts';

const tag = 'images';
const params = Type.Object({ image: Type.String({ description: '`web-1@latest`, `web@3`' }) });
const path = Type.String({ description: 'Path inside the image' });

export function imageRoutes(api: Api): void {
  route(api, {
    method: 'GET',
    url: '/images/:image',
    role: 'viewer',
    tag,
    summary: 'The manifest behind a snapshot or master reference',
    params,
    response: 'Image',
    handle: ({ control, params: { image } }) => control.resolveImage(image),
  });
  route(api, {
    method: 'GET',
    url: '/images/:image/files',
    role: 'viewer',
    tag,
    summary: 'Entries of an image, in manifest order',
    params,
    query: Type.Object({ under: Type.Optional(path) }),
    response: { stream: 'Entry' },
    handle: ({ control, params: { image }, query: { under }, reply }) =>
      sendLines(reply, control.listFiles(image, under)),
  });
  route(api, {
    method: 'GET',
    url: '/images/:image/content',
    role: 'operator',
    tag,
    summary: 'Bytes of one file; the header `overdub-entry` describes it (base64url JSON)',
    params,
    query: Type.Object({ path }),
    response: 'bytes',
    handle: async ({ control, params: { image }, query, reply }) => {
      const { entry, content } = await control.readFile(image, query.path);
      if (entry.content === undefined) throw notAFile(image, entry);
      reply.header('overdub-entry', describeEntry(entry));
      return sendBytes(reply, entry.content.bytes, content);
    },
  });
  route(api, {
    method: 'GET',
    url: '/diff',
    role: 'viewer',
    tag,
    summary: 'What changed from one image to another',
    query: Type.Object({ from: Type.String(), to: Type.String() }),
    response: { stream: 'DiffEntry' },
    handle: ({ control, query: { from, to }, reply }) => sendLines(reply, control.diff(from, to)),
  });
  route(api, {
    method: 'GET',
    url: '/servers/:server/log',
    role: 'viewer',
    tag,
    summary: 'The snapshots in which a path changed',
    params: Type.Object({ server: Type.String() }),
    query: Type.Object({ path }),
    response: { stream: 'LogEntry' },
    handle: ({ control, params: { server }, query, reply }) =>
      sendLines(reply, control.log(server, query.path)),
  });
}

function notAFile(image: string, entry: Entry): OverdubError {
  return new OverdubError(
    'INPUT_INVALID',
    `${entry.path} in ${image} is a ${entry.type}, which has no bytes.`,
    'Name a regular file.',
  );
}

/** Without the list of chunks and the extended attributes, which may outgrow a header. */
function describeEntry({ content, xattrs: _, ...entry }: Entry): string {
  const small = { ...entry, bytes: content?.bytes, digest: content?.digest };
  return Buffer.from(JSON.stringify(small)).toString('base64url');
}
