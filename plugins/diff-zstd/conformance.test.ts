import { deltaCodecConformance } from '@overdub/core/testing';
import { zstdCodec } from './codec.ts';

deltaCodecConformance('diff-zstd', zstdCodec());
