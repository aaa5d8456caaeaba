/**
 * No boot plugins: needs no privilege and opens one TCP port. Servers that run already are enrolled with
 * `overdub agent install`, directories with `overdub agent snapshot --root DIR --server NAME`.
 */

import agent from '@overdub/agent';
import api from '@overdub/api-http';
import { defineConfig } from '@overdub/core';
import rsync from '@overdub/diff-rsync';
import zstd from '@overdub/diff-zstd';
import tree from '@overdub/imaging-tree';
import storage from '@overdub/storage-local';

export default defineConfig({
  state: './state',
  plugins: [storage(), tree(), rsync(), zstd(), agent(), api()],
});
