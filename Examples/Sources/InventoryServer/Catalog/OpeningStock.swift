import InventoryService
import Logging
import ShopData

/// The stock on the first day, from a file with one product on each line.
struct OpeningStock {
    /// The products of the valid lines.
    let items: [StockItem]
    /// The invalid lines, each as `FILE:LINE: reason`.
    let problems: [String]

    /// Reads a file.
    ///
    /// - Throws: `FileProblem` if it cannot be read.
    init(file: String) throws {
        let lines = try JSONLines<Line>(file: file, uniqueBy: ("sku", { $0.item.sku }))
        items = lines.values.map(\.item)
        problems = lines.problems.map(\.description)
    }

    /// Loads a file into a store that has no products. Does nothing if the store has products.
    static func load(_ file: String, into store: SQLStockStore, logger: Logger) async throws {
        guard try await store.items(after: nil, limit: 1).isEmpty else { return }
        let stock = try OpeningStock(file: file)
        for problem in stock.problems { logger.warning("a line of the opening stock is left out: \(problem)") }
        // Another replica may have loaded it first.
        guard try await store.open(with: stock.items) else { return }
        logger.info("the opening stock is loaded", metadata: ["file": "\(file)", "products": "\(stock.items.count)"])
    }

    /// A product that clients can request.
    private struct Line: Decodable {
        let item: StockItem

        private enum CodingKeys: String, CodingKey { case sku }

        init(from decoder: any Decoder) throws {
            item = try StockItem(from: decoder)
            guard SKU(item.sku) == nil else { return }
            throw DecodingError.dataCorrupted(
                .init(codingPath: [CodingKeys.sku], debugDescription: "'\(item.sku)' is no sku: \(SKU.rule)")
            )
        }
    }
}
