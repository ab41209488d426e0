import EventBusServiceKit
import Foundation
import ShopEvents
import Testing

@testable import OrderServer

struct PricingTests {
    private func pricing(_ text: String) throws -> Pricing {
        let file = URL(filePath: NSTemporaryDirectory()).appending(path: "prices-\(UUID().uuidString).jsonl")
        try Data(text.utf8).write(to: file)
        defer { try? FileManager.default.removeItem(at: file) }
        return try Pricing(file: file.path(percentEncoded: false))
    }

    @Test func `a stock file is a price list`() throws {
        let pricing = try pricing(#"{"sku":"A","name":"Ash","quantity":2,"unitPrice":"21.00"}"# + "\n")
        #expect(pricing.price(of: "A", expecting: nil, discount: .none) == .success(Money(cents: 2100)))
    }

    @Test(
        arguments: [
            "", "{}", #"{"sku":"A"}"#, #"{"sku":"A","unitPrice":"-1"}"#, #"{"sku":"a b","unitPrice":"1"}"#,
            #"{"sku":"A","unitPrice":"1"}"# + "\n" + #"{"sku":"A","unitPrice":"2"}"#,
        ]
    )
    func `an empty or invalid price list is refused`(text: String) throws {
        #expect(throws: ServiceFailure.self) { try pricing(text) }
    }

    @Test func `a missing price list is refused`() {
        #expect(throws: (any Error).self) { try Pricing(file: "/nowhere/prices.jsonl") }
    }
}
