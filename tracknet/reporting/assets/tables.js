// Tables that sort by the column whose name is pressed; numbers from high to low first, names from A to Z.
function makeSortable(table) {
  const heads = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const isNumber = column > 0;
    const was = head.getAttribute("aria-sort");
    const descending = was === "none" ? isNumber : was === "ascending";
    heads.forEach((other) => other.setAttribute("aria-sort", "none"));
    head.setAttribute("aria-sort", descending ? "descending" : "ascending");
    const sign = descending ? -1 : 1;
    const keyed = [...body.rows].map((row) => [isNumber ? row.cells[column].dataset.value : row.cells[0].textContent, row]);
    // Rows without a figure stay last in either direction.
    keyed.sort(([a], [b]) => (isNumber && (a === "" || b === "") ? (a === "") - (b === "")
      : sign * (isNumber ? a - b : byNames.compare(a, b))));
    body.append(...keyed.map(([, row]) => row));
  }));
}
