import { imagerConformance } from '@overdub/core/testing';
import { treeImager } from './imager.ts';

imagerConformance('imaging-tree', { imager: treeImager });
