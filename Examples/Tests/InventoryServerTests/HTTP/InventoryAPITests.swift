import EventBusInMemory
import EventBusServiceKit
import Foundation
import Hummingbird
import HummingbirdTesting
import InventoryService
import ServiceTestKit
import Testing

@testable import InventoryServer

@Suite("The description of the inventory's API", .timeLimit(.minutes(1)))
struct InventoryAPITests {
    private func document() throws -> [String: Any] {
        let json = try JSONSerialization.jsonObject(with: Data(InventoryAPI.document.utf8))
        return try #require(json as? [String: Any])
    }

    private func routes() throws -> Router<ServiceRequestContext> {
        let router = Router(context: ServiceRequestContext.self)
        let replica = try Replica(StockFile())
        StockRoutes(catalog: replica.catalog).add(to: router)
        return router
    }

    @Test("It names every route with a description, and no other")
    func paths() throws {
        let paths = try #require(try document()["paths"] as? [String: [String: Any]])
        let described = paths.flatMap { path, methods in
            methods.keys.filter { $0 != "parameters" }.map { "\($0.uppercased()) \(path)" }
        }
        #expect(Set(described) == Set(try routes().operations).subtracting(["GET /openapi.json"]))
    }

    @Test("Every reference is valid")
    func references() throws {
        #expect(danglingReferences(in: try document()) == [])
    }

    @Test func `every operation requires a token`() throws {
        #expect(openOperations(in: try document()) == [])
    }

    @Test("Its limits are those of the code")
    func bounds() throws {
        let components = try #require(try document()["components"] as? [String: Any])
        let schemas = try #require(components["schemas"] as? [String: [String: Any]])
        #expect(schemas["SKU"]?["pattern"] as? String == SKU.pattern)
        let request = try #require(schemas["StockRequest"]?["properties"] as? [String: [String: Any]])
        #expect(request["quantity"]?["maximum"] as? Int == StockItem.quantities.upperBound)
        #expect(request["name"]?["maxLength"] as? Int == StockRequest.maximumNameLength)
        #expect(
            (request["unitPrice"]?["pattern"] as? String)?.contains("{1,\(StockRequest.maximumPriceDigits)}") == true
        )
    }

    @Test("It is served")
    func served() async throws {
        try await Application(router: try routes()).test(.router) { client in
            let response = try await client.execute(uri: "/openapi.json", method: .get)
            #expect(response.status == .ok)
            #expect(response.headers[.contentType] == "application/json")
        }
    }
}
