import EventBusServiceKit
import Foundation
import HTTPTypes
import OrderService
import ShopEvents
import Testing

@testable import OrderServer

@Suite("The body of an order", .timeLimit(.minutes(1)))
struct OrderFormTests {
    /// A body, and its invalid fields with their rules.
    struct Case: Sendable, CustomTestStringConvertible {
        var body: String
        var problems: [String: String]
        var testDescription: String { body.count > 100 ? "\(body.prefix(100))…" : body }
    }

    private func form(_ body: String) throws -> OrderForm {
        try JSONDecoder().decode(OrderForm.self, from: Data(body.utf8))
    }

    private static func body(
        customer: String = #""VINET""#,
        country: String = #""France""#,
        lines: String = #"{"sku": "A", "quantity": 1, "unitPrice": "1.00"}"#
    ) -> String {
        #"{"customerID": \#(customer), "shipCountry": \#(country), "items": [\#(lines)]}"#
    }

    private static func line(_ sku: String, _ quantity: String, _ price: String, _ discount: String? = nil) -> String {
        #"{"sku": \#(sku), "quantity": \#(quantity), "unitPrice": \#(price)"#
            + (discount.map { #", "discount": \#($0)}"# } ?? "}")
    }

    @Test("A valid body is a draft")
    func valid() throws {
        let lines = Self.line(#""NW-011""#, "12", #""14.00""#) + "," + Self.line(#""a_.9""#, "1e0", #""0""#, #""0.15""#)
        let draft = try form(Self.body(lines: lines)).checked(.clients)
        #expect(draft.customerID == "VINET")
        #expect(draft.shipCountry == "France")
        #expect(draft.items.map(\.sku) == ["NW-011", "a_.9"])
        #expect(draft.items.map(\.quantity) == [12, 1])
        #expect(draft.items.map(\.unitPrice.cents) == [1400, 0])
        #expect(draft.items.map(\.discount.basisPoints) == [0, 1500])
    }

    @Test("The limits themselves are valid")
    func limits() throws {
        let text = "\"" + String(repeating: "ä", count: 100) + "\""
        let sku = "\"" + String(repeating: "A", count: 64) + "\""
        let line = Self.line(sku, "1000000", #""1000000.00""#, #""1.0000""#)
        let lines = repeatElement(line, count: 1000).joined(separator: ",")
        let draft = try form(Self.body(customer: text, country: text, lines: lines)).checked(.clients)
        #expect(draft.items.count == 1000)
        #expect(draft.items.total == .zero)
        let dearest = Self.line(sku, "1000000", #""1000000.00""#)
        let all = repeatElement(dearest, count: 1000).joined(separator: ",")
        #expect(try form(Self.body(lines: all)).checked(.clients).items.total.description == "1000000000000000.00")
    }

    @Test("Problems name the field and its rule", arguments: wrongBodies)
    func wrong(_ example: Case) throws {
        let problem = #expect(throws: HTTPProblem.self) { try form(example.body).checked(.clients) }
        let fields = try #require(problem).fields
        #expect(Set(fields.map(\.field)) == Set(example.problems.keys))
        for field in fields {
            let expected = try #require(example.problems[field.field])
            #expect(field.problem.contains(expected), "\(field.field): \(field.problem)")
        }
        #expect(problem?.status == .badRequest)
    }

    private static let quantity = "a whole number from 1 to 1000000"
    private static let price = "an amount such as \"14.00\", from 0 to 1000000.00"
    private static let part = "from 0 to 1"
    private static let sku = "1 to 64 letters, digits, '.', '_' or '-'"
    private static let text = "a text of 1 to 100 characters"

    static let wrongBodies: [Case] =
        [
            Case(body: "[]", problems: ["": "has to be an order: an object with customerID, items, shipCountry"]),
            Case(body: "null", problems: ["": "has to be an order"]),
            Case(body: "7", problems: ["": "has to be an order"]),
            Case(
                body: "{}",
                problems: ["customerID": "is missing", "shipCountry": "is missing", "items": "is missing"]
            ),
            Case(body: body(lines: ""), problems: ["items": "an array of 1 to 1000 order lines"]),
            Case(
                body: body(lines: repeatElement(line(#""A""#, "1", #""1""#), count: 1001).joined(separator: ",")),
                problems: ["items": "has 1001 elements"]
            ),
            Case(body: body(customer: #""""#), problems: ["customerID": text]),
            Case(body: body(customer: "null"), problems: ["customerID": text]),
            Case(body: body(customer: "1"), problems: ["customerID": text]),
            Case(body: body(customer: #""a\u0000b""#), problems: ["customerID": "without control characters"]),
            Case(body: body(country: #""a\nb""#), problems: ["shipCountry": "without control characters"]),
            Case(
                body: body(country: "\"" + String(repeating: "a", count: 101) + "\""),
                problems: ["shipCountry": text]
            ),
            Case(body: body(lines: "null"), problems: ["items[0]": "has to be an order line: an object with"]),
            Case(body: body(lines: "[]"), problems: ["items[0]": "has to be an order line"]),
            Case(
                body: body(lines: "{}"),
                problems: [
                    "items[0].sku": "is missing", "items[0].quantity": quantity, "items[0].unitPrice": "is missing",
                ]
            ),
            Case(
                body: body(lines: line(#""A""#, "1", #""1""#) + "," + line("7", #""3""#, "14.00", "null")),
                problems: [
                    "items[1].sku": sku, "items[1].quantity": quantity, "items[1].unitPrice": price,
                    "items[1].discount": part,
                ]
            ),
            Case(
                body: #"{"customerID": "V", "shipCountry": "F", "items": {}, "note": 1, "a": 2}"#,
                problems: ["items": "an array", "note": "is no field of an order", "a": "is no field"]
            ),
            Case(
                body: body(lines: #"{"sku": "A", "quantity": 1, "unitPrice": "1", "discout": "0.1"}"#),
                problems: ["items[0].discout": "is no field of an order line, which has discount, quantity"]
            ),
        ]
        + ["0", "-1", "1000001", "1.5", "true", #""1""#, "null", "1e30", "[]"].map {
            Case(body: body(lines: line(#""A""#, $0, #""1""#)), problems: ["items[0].quantity": quantity])
        }
        + ["", "1000000.01", "-1", "-0", "1.001", ".5", "1.", "1,00", "00000001", "1e2", "€ 1"].map {
            Case(body: body(lines: line(#""A""#, "1", "\"\($0)\"")), problems: ["items[0].unitPrice": price])
        }
        + ["", "1.01", "-0.1", "0.12345", "00", "2", ".5", "1.", "50%"].map {
            Case(body: body(lines: line(#""A""#, "1", #""1""#, "\"\($0)\"")), problems: ["items[0].discount": part])
        }
        + ["", "a b", "a/b", "ä", #"a\u0000"#, String(repeating: "a", count: 65)].map {
            Case(body: body(lines: line("\"\($0)\"", "1", #""1""#)), problems: ["items[0].sku": sku])
        }

    @Test("The name of an unknown field is quoted up to a number of bytes, without what a terminal would interpret")
    func unknownField() throws {
        for name in ["e" + String(repeating: "\u{301}", count: 100_000), "a\u{9B}\u{202E}"] {
            let problem = try #require(throws: HTTPProblem.self) {
                try form("{\"\(name)\": 1}").checked(.clients)
            }
            let fields = problem.fields.map(\.field)
            #expect(fields.allSatisfy { $0.utf8.count < 200 && !$0.contains("\u{9B}") }, "\(fields)")
        }
    }

    @Test("Of very many problems the first ones are listed, and all are counted")
    func many() throws {
        let lines = repeatElement("{}", count: 1000).joined(separator: ",")
        let problem = try #require(throws: HTTPProblem.self) { try form(Self.body(lines: lines)).checked(.clients) }
        #expect(problem.fields.count == 50)
        #expect(problem.detail?.hasPrefix("3000 fields are wrong, of which the first 50 are listed") == true)
    }

    @Test("The patterns in the API's description match the rules")
    func patterns() throws {
        func agree<Value>(_ pattern: String, _ rule: (String) -> Value?, _ samples: [String]) throws {
            let pattern = try NSRegularExpression(pattern: pattern.replacing("$", with: "\\z"))
            for sample in samples {
                let range = NSRange(sample.startIndex..., in: sample)
                let matches = pattern.firstMatch(in: sample, range: range) != nil
                #expect(matches == (rule(sample) != nil), "\(sample.debugDescription)")
            }
        }
        let numbers = [
            "0", "1", "00", "9", "10", "0.1", "0.12", "0.123", "0.1234", "0.12345", "1.0", "1.0000", "1.00000", "1.1",
            "999999", "999999.99", "0999999.99", "1000000", "1000000.0", "1000000.00", "1000000.01", "1000001",
            "00000001", "-1", "-0", "+1", ".5", "5.", "", " 1", "1 ", "1\n", "1e2", "0x1", "١",
        ]
        try agree(FieldRules.pricePattern, FieldRules.price, numbers)
        try agree(FieldRules.discountPattern, FieldRules.discount, numbers)
        let texts = [
            "", "a", "A.b_c-9", "a b", "a/b", "ä", "a\n", "\u{0}", "\u{7F}", "\u{85}", "\u{9F}", "\u{A0}", "🙂",
        ]
        try agree(FieldRules.skuPattern, FieldRules.sku, texts + [String(repeating: "a", count: 65)])
        try agree(FieldRules.textPattern, FieldRules.text, texts)
        try agree(FieldRules.idPattern, OrderID.checked, texts + [String(repeating: "a", count: 101)])
    }
}
