import Foundation
import InventoryService
import Logging
import ServiceTestKit
import ShopData
import ShopEvents
import Testing

@testable import InventoryServer

@Suite("The opening stock", .timeLimit(.minutes(1)))
struct OpeningStockTests {
    private let file: StockFile
    private let store: SQLStockStore
    private let path: String

    init() throws {
        file = try StockFile()
        store = try Replica(file).store
        path = file.path(of: "stock.jsonl")
    }

    private func write(_ text: String) throws {
        try Data(text.utf8).write(to: URL(filePath: path))
    }

    @Test("The valid lines are loaded, and the invalid ones reported by file and line")
    func problems() async throws {
        try write(
            """
            {"sku":"A","name":"a","quantity":3,"unitPrice":"1.00"}
            {"sku":"B","name":"b","quantity":-1,"unitPrice":"1.00"}
            {"sku":"C","name":
            {"sku":"A","name":"again","quantity":4,"unitPrice":"1.00"}
            {"sku":"no sku","name":"d","quantity":4,"unitPrice":"1.00"}
            {"sku":"E","name":"e","quantity":2,"unitPrice":"2.50"}

            """
        )
        let stock = try OpeningStock(file: path)
        #expect(stock.items.map(\.sku) == ["A", "E"])
        #expect(stock.problems.count == 4)
        for (problem, line) in zip(stock.problems, 2...) {
            #expect(problem.hasPrefix("\(path):\(line): "), "\(problem)")
        }
        #expect(stock.problems.last?.contains("'no sku' is no sku") == true)
        try await OpeningStock.load(path, into: store, logger: .quiet)
        #expect(try await store.allLevels() == ["A": 3, "E": 2])
    }

    @Test("A store with products is left unchanged, and the file is not even read")
    func notEmpty() async throws {
        _ = try await store.open(with: [.sample("A", 5)])
        try await OpeningStock.load(file.path(of: "missing"), into: store, logger: .quiet)
        #expect(try await store.open(with: [.sample("B", 5)]) == false)
        #expect(try await store.allLevels() == ["A": 5])
    }

    @Test("A missing file is an error that names it")
    func missing() async throws {
        let path = file.path(of: "missing")
        let error = try await #require(throws: FileProblem.self) {
            try await OpeningStock.load(path, into: store, logger: .quiet)
        }
        #expect(error.description.contains(path))
    }
}
