// A table of class `sortable` is sorted by whatever heading is pressed: ascending, again descending, a third time as the
// page was written. Rows that are equal keep their order. A cell counts by the number in its `data-value` where it has
// that attribute (empty: nothing was measured), else by its text. Without scripts the page is whole, and its headings
// are plain text.
for (const table of document.querySelectorAll('table.sortable')) {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0], original = [...body.rows];
  const collator = new Intl.Collator(document.documentElement.lang, { numeric: true, sensitivity: 'base' });
  // A number where data-value has one, else text; null where nothing was measured.
  const key = (row, column) => {
    const cell = row.cells[column], text = (cell.dataset.value ?? cell.textContent).trim();
    if (text === '' || text === '–') return null;
    const number = cell.dataset.value === undefined ? NaN : Number(text);
    return Number.isNaN(number) ? text : number;
  };
  // Numbers come before words, and what is missing comes last whichever way the rest is sorted.
  const compare = (x, y, way) => {
    if (x === null || y === null) return (x === null) - (y === null);
    if (typeof x !== typeof y) return way * (typeof x === 'number' ? -1 : 1);
    return way * (typeof x === 'number' ? x - y : collator.compare(x, y));
  };
  const sort = (column) => {
    const before = heads[column].getAttribute('aria-sort');
    const now = before === 'none' ? 'ascending' : before === 'ascending' ? 'descending' : 'none';
    for (const head of heads) head.setAttribute('aria-sort', 'none');
    heads[column].setAttribute('aria-sort', now);
    const rows = now === 'none' ? original : [...body.rows], way = now === 'descending' ? -1 : 1;
    const keys = new Map(rows.map((row) => [row, key(row, column)]));
    body.append(...(now === 'none' ? rows : rows.sort((a, b) => compare(keys.get(a), keys.get(b), way))));
  };
  heads.forEach((head, column) => {
    const button = document.createElement('button');
    button.type = 'button';
    button.append(...head.childNodes);
    head.append(button);
    head.setAttribute('aria-sort', 'none');
    if (head.textContent.trim() === '') button.setAttribute('aria-label', 'Row');
    button.addEventListener('click', () => sort(column));
  });
}
