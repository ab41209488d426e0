import Foundation
import ShopEvents
import Testing

/// Events obey the rules of requests, because whoever may publish can send anything.
struct EventRulesTests {
    private static let marks = "e" + String(repeating: "\u{301}", count: 1000)
    private static let invalidIDs = ["", "a b", "a\n", "ä", marks, String(repeating: "1", count: 101)]
    private static let invalidTexts = ["", "a\nb", "a\u{9B}b", marks, String(repeating: "a", count: 101)]
    private static let invalidSKUs = ["", "a b", "a/b", "ä", marks, String(repeating: "a", count: 65)]

    private func decodes<Event: Decodable>(_ type: Event.Type, _ members: [String: Any]) throws -> Bool {
        let data = try JSONSerialization.data(withJSONObject: members)
        do {
            _ = try JSONDecoder().decode(type, from: data)
            return true
        } catch let error as DecodingError {
            // The log line about an event that cannot be decoded is short.
            guard case .dataCorrupted(let context) = error else { throw error }
            #expect(context.debugDescription.utf8.count < 1000)
            return false
        }
    }

    private func created(id: String = "1", customer: String = "C", lines: Int = 1, sku: String = "A") -> [String: Any] {
        let line: [String: Any] = ["sku": sku, "quantity": 1, "unitPrice": "1.00"]
        return ["orderID": id, "customerID": customer, "items": Array(repeating: line, count: lines)]
    }

    @Test func `an event with fields that no request may have is not decoded`() throws {
        #expect(try decodes(OrderCreated.self, created(lines: 1000)))
        #expect(try !decodes(OrderCreated.self, created(lines: 1001)))
        #expect(try !decodes(OrderCreated.self, created(lines: 0)))
        for id in Self.invalidIDs {
            #expect(try !decodes(OrderCreated.self, created(id: id)))
            #expect(try !decodes(OrderConfirmed.self, ["orderID": id, "customerID": "C", "total": "1"]))
            #expect(try !decodes(StockReserved.self, ["orderID": id, "quantities": ["A": 1]]))
        }
        for customer in Self.invalidTexts {
            #expect(try !decodes(OrderCreated.self, created(customer: customer)))
            #expect(try !decodes(OrderConfirmed.self, ["orderID": "1", "customerID": customer, "total": "1"]))
        }
        for sku in Self.invalidSKUs {
            #expect(try !decodes(OrderCreated.self, created(sku: sku)))
            #expect(try !decodes(StockReserved.self, ["orderID": "1", "quantities": [sku: 1]]))
            let rejection: [String: Any] = ["orderID": "1", "customerID": "C", "reason": "outOfStock", "skus": [sku]]
            #expect(try !decodes(StockRejected.self, rejection))
            #expect(try !decodes(OrderCancelled.self, rejection))
        }
        #expect(try !decodes(StockReserved.self, ["orderID": "1", "quantities": ["A": 0]]))
        let many = Dictionary(uniqueKeysWithValues: (0..<1001).map { ("A\($0)", 1) })
        #expect(try !decodes(StockReserved.self, ["orderID": "1", "quantities": many]))
    }
}
