import InventoryService
import OrderService
import ShopData
import Testing

@Suite("Input files", .timeLimit(.minutes(1)))
struct JSONLinesTests {
    private func line(_ id: String, quantity: String = "1", price: String = "\"1.00\"") -> String {
        """
        {"id":"\(id)","customerID":"C","placedAt":"2026-01-01","shipCountry":"X",\
        "items":[{"sku":"A","quantity":\(quantity),"unitPrice":\(price),"discount":"0.00"}]}
        """
    }

    private func read(_ lines: String...) -> JSONLines<Order> {
        JSONLines(text: Array(lines.joined(separator: "\n").utf8), file: "o.jsonl", uniqueBy: ("order", { $0.id }))
    }

    @Test("An invalid line is reported with file and number, and the rest is read")
    func badLines() {
        let read = read(line("1"), "{oops", "", line("2", quantity: "-3"), line("1"), line("3"), "  \r")
        #expect(read.values.map(\.id) == ["1", "3"])
        #expect(
            read.problems.map(\.description) == [
                "o.jsonl:2: not valid JSON",
                "o.jsonl:4: items[0].quantity: the quantity is -3; 1 to 1000000 can be ordered",
                "o.jsonl:5: order 1 occurs in line 1 already",
            ]
        )
    }

    @Test(
        "What no order can mean is refused",
        arguments: [
            #"{"id":"1"}"#, "[]", "7", "null", "\u{0}",
            #"{"id":"","customerID":"C","placedAt":"","shipCountry":"","items":[]}"#,
            #"{"id":"1","customerID":"C","placedAt":"","shipCountry":"","items":[]}"#,
            #"{"id":"1","customerID":"C","placedAt":"","shipCountry":"","items":null}"#,
        ]
    )
    func refused(text: String) {
        #expect(read(text).values.isEmpty)
        #expect(read(text).problems.count == 1)
    }

    @Test("Quantities and prices out of bounds are refused")
    func bounds() {
        #expect(read(line("1", quantity: "0")).values.isEmpty)
        #expect(read(line("1", quantity: "1.5")).values.isEmpty)
        #expect(read(line("1", quantity: "99999999999999999999")).values.isEmpty)
        #expect(read(line("1", price: "1.00")).values.isEmpty)
        #expect(read(line("1", price: "\"-1.00\"")).values.isEmpty)
        #expect(read(line("1", price: "\"1000000.01\"")).values.isEmpty)
    }

    @Test("Stock cannot be negative")
    func negativeStock() {
        let text = #"{"sku":"A","name":"a","quantity":-1,"unitPrice":"1.00"}"#
        let read = JSONLines<StockItem>(text: Array(text.utf8), file: "s.jsonl", uniqueBy: ("sku", { $0.sku }))
        #expect(
            read.problems.map(\.description) == [
                "s.jsonl:1: quantity: the quantity is -1; it can be 0 to 1000000000"
            ]
        )
    }
}
