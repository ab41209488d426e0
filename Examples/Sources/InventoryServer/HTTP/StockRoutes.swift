import EventBus
import EventBusServiceKit
import Foundation
import Hummingbird
import InventoryService
import Logging
import ShopServer

/// The HTTP interface of the inventory. `InventoryAPI` describes it for clients.
struct StockRoutes: Sendable {
    private let catalog: StockCatalog

    /// Creates routes for `catalog`.
    init(catalog: StockCatalog) {
        self.catalog = catalog
    }

    /// Adds the routes.
    func add(to router: Router<ServiceRequestContext>) {
        router.get("/stock") { request, _ in try await list(request) }
        router.get("/stock/:sku") { _, context in try await show(context) }
        router.put("/stock/:sku") { request, context in try await put(request, context) }
        router.get("/openapi.json") { _, _ in APIDocument(json: InventoryAPI.document) }
    }

    private func list(_ request: Request) async throws -> JSONResponse<StockPage> {
        let query = try StockQuery(request.uri.queryParameters)
        // One more than is returned, which tells whether more products follow.
        var items = try await catalog.items(after: query.previous?.rawValue, limit: query.limit + 1)
        let hasMore = items.count > query.limit
        if hasMore { items.removeLast() }
        return JSONResponse(StockPage(items: items, next: hasMore ? items.last?.sku : nil))
    }

    private func show(_ context: ServiceRequestContext) async throws -> JSONResponse<StockItem> {
        let sku = try sku(of: context)
        guard let item = try await catalog.item(sku.rawValue) else {
            throw HTTPProblem(.notFound, "No such product", detail: "There is no product \(sku.rawValue).")
        }
        return JSONResponse(item)
    }

    private func put(_ request: Request, _ context: ServiceRequestContext) async throws -> JSONResponse<StockItem> {
        let sku = try sku(of: context)
        let change = try await request.decodeJSON(StockRequest.self, context: context, limit: 16_384).change()
        do {
            let (item, isNew) = try await catalog.put(sku.rawValue, change)
            let headers: HTTPFields = isNew ? [.location: "/stock/\(sku.rawValue)"] : [:]
            return JSONResponse(item, status: isNew ? .created : .ok, headers: headers)
        } catch {
            guard let problem = HTTPProblem(lockFailure: error) else { throw error }
            context.logger.info("a change of the stock is put off", metadata: ["error": "\(error)"])
            throw problem
        }
    }

    private func sku(of context: ServiceRequestContext) throws -> SKU {
        let text = context.parameters.get("sku") ?? ""
        guard let sku = SKU(text.removingPercentEncoding ?? text) else {
            throw HTTPProblem(
                .badRequest,
                "The path is not valid",
                detail: "That is no sku: \(SKU.rule).",
                fields: [.init(field: "sku", problem: SKU.rule)]
            )
        }
        return sku
    }
}

extension HTTPProblem {
    /// Creates the response for a change that currently cannot get its lock. Returns `nil` for any other error.
    init?(lockFailure error: any Error) {
        let codes: Set<EventBusError.Code> = [
            .unavailable, .indeterminate, .lockTimedOut, .lockLost, .lockNotOwned, .leaseExpired,
        ]
        let isTemporary =
            error is StaleFencingToken || (error as? EventBusError).map { codes.contains($0.code) } == true
        guard isTemporary else { return nil }
        self.init(
            .serviceUnavailable,
            "The product cannot be locked",
            detail:
                "It could not be made sure that nobody else changes this product. Send the request again: it does no "
                + "harm if this one has taken effect.",
            headers: [.retryAfter: "1"]
        )
    }
}
