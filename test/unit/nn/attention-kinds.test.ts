import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ATTENTION_KINDS, type AttentionKind } from '../../../src/config/dalle-model.ts';
import { attentionOrder, type StreamLayout } from '../../../src/nn/attention-kinds.ts';
import { attentionMask } from '../../support/attention-mask.ts';

/** Fills the mask by walking to each place the rule names. */
function slowMask(kind: AttentionKind, { prefix, grid, kernelSize: convolution }: StreamLayout): Uint8Array {
  const length = prefix + grid * grid;
  const mask = new Uint8Array(length * length);
  const see = (query: number, key: number): void => {
    if (key >= 0 && key <= query) mask[query * length + key] = 1;
  };
  for (let query = 0; query < length; query++) {
    for (let key = 0; key < prefix; key++) see(query, key);
  }
  for (let row = 0; row < grid; row++) {
    for (let column = 0; column < grid; column++) {
      const query = prefix + row * grid + column;
      const seeImage = (r: number, c: number): void => {
        if (r >= 0 && c >= 0 && r < grid && c < grid) see(query, prefix + r * grid + c);
      };
      if (kind === 'full') for (let r = 0; r < grid; r++) for (let c = 0; c < grid; c++) seeImage(r, c);
      if (kind === 'row')
        for (let back = 0; back <= grid; back++) if (query - back >= prefix) see(query, query - back);
      if (kind === 'column') for (let r = 0; r <= row; r++) seeImage(r, column);
      if (kind === 'axial-row') for (let c = 0; c <= column; c++) seeImage(row, c);
      if (kind === 'conv-like')
        for (let dr = 0; dr < convolution; dr++)
          for (let dc = 0; dc < convolution; dc++) seeImage(row - dr, column - dc);
      if (kind === 'conv-wrapped') {
        const reach = Math.floor(convolution / 2);
        const wrapped = (place: number): number => ((place % grid) + grid) % grid;
        for (let dr = -reach; dr <= reach; dr++)
          for (let dc = -reach; dc <= reach; dc++) seeImage(wrapped(row + dr), wrapped(column + dc));
      }
      if (kind === 'conv') {
        const start = -Math.floor(convolution / 2);
        for (let dr = start; dr < start + convolution; dr++)
          for (let dc = start; dc < start + convolution; dc++) seeImage(row + dr, column + dc);
      }
    }
  }
  return mask;
}

describe('attention masks', () => {
  for (const kind of ATTENTION_KINDS) {
    for (const layout of [
      { prefix: 4, grid: 4, kernelSize: 3 },
      { prefix: 1, grid: 5, kernelSize: 4 },
      { prefix: 3, grid: 3, kernelSize: 11 },
    ]) {
      test(`${kind} of ${JSON.stringify(layout)}`, () => {
        assert.deepEqual(attentionMask(kind, layout), slowMask(kind, layout));
      });
    }
  }

  test('a 3 × 3 image after two text tokens, drawn', () => {
    const draw = (kind: AttentionKind): string[] => {
      const rows = Array.from(attentionMask(kind, { prefix: 2, grid: 3, kernelSize: 3 })).join('');
      return rows.match(/.{11}/g)!.slice(-4);
    };
    assert.deepEqual(draw('row'), ['11001111000', '11000111100', '11000011110', '11000001111']);
    assert.deepEqual(draw('column'), ['11001001000', '11100100100', '11010010010', '11001001001']);
    assert.deepEqual(draw('conv'), ['11011011000', '11000110100', '11000111110', '11000011011']);
  });

  test('the first positions alone are the corner of the whole mask', () => {
    const layout = { prefix: 3, grid: 3, kernelSize: 3 };
    const whole = attentionMask('row', layout);
    const corner = attentionMask('row', layout, 7);
    corner.forEach((value, i) => {
      assert.equal(value, whole[Math.floor(i / 7) * 12 + (i % 7)]);
    });
  });
});

test("the paper's 64 layers: column where (i − 2) mod 4 = 0, convolutional at the end", () => {
  const order = attentionOrder(64, ['row', 'column', 'row', 'row'], 'conv');
  order.forEach((kind, index) => {
    const layer = index + 1;
    const expected = layer === 64 ? 'conv' : (layer - 2) % 4 === 0 ? 'column' : 'row';
    assert.equal(kind, expected, `layer ${layer}`);
  });
  assert.deepEqual(attentionOrder(3, ['full', 'row']), ['full', 'row', 'full']);
});
