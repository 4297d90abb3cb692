import { expect, test } from 'vitest'
import { head, visible } from './text'

test('an override of the direction of writing is shown, not obeyed', () => {
  expect(visible('invoice\u202Efdp.exe')).toBe('invoice⟨U+202E⟩fdp.exe')
})

test('control characters are shown, and lines and tabs stay', () => {
  expect(visible('a\u0000b\u001b[31mred\nnext\tcell\r\nlast\u007f')).toBe('a␀b␛[31mred\nnext\tcell\nlast⟨U+007F⟩')
})

test('text in any script stays', () => {
  expect(visible('שלום 日本 🙂 <script>alert(1)</script>')).toBe('שלום 日本 🙂 <script>alert(1)</script>')
})

test('a cut does not halve a character', () => {
  expect(head('ab🙂', 3)).toBe('ab')
  expect(head('ab🙂', 4)).toBe('ab🙂')
})
