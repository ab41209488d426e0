import EventBusServiceKit
import Foundation
import Hummingbird
import ServiceTestKit
import Testing

@testable import OrderServer

@Suite("The description of the API", .timeLimit(.minutes(1)))
struct OpenAPIDocumentTests {
    /// Returns the description as a client reads it.
    private func document() throws -> [String: Any] {
        let data = try JSONEncoder().encode(OpenAPIDocument.orders)
        return try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
    }

    private func operations() throws -> [String: [String: Any]] {
        let paths = try #require(try document()["paths"] as? [String: [String: [String: Any]]])
        var operations: [String: [String: Any]] = [:]
        for (path, methods) in paths {
            for (method, operation) in methods { operations["\(method.uppercased()) \(path)"] = operation }
        }
        return operations
    }

    @Test("It names every route, and nothing else")
    func routes() throws {
        let router = Router(context: ServiceRequestContext.self)
        OrderRoutes(try Scene().orders, pricing: .clients).add(to: router)
        let common = ["GET /health/live", "GET /health/ready", "GET /metrics"]
        #expect(Set(try operations().keys) == Set(router.operations + common))
    }

    @Test("Every reference is valid")
    func references() throws {
        #expect(danglingReferences(in: try document()) == [])
    }

    @Test func `every operation but health, metrics and the description requires a token`() throws {
        let open = ["GET /health/live", "GET /health/ready", "GET /metrics", "GET /openapi.json"]
        #expect(openOperations(in: try document()) == Set(open))
    }

    @Test("Every operation has a unique id and describes its responses")
    func operationIDs() throws {
        let operations = try operations()
        let ids = operations.values.compactMap { $0["operationId"] as? String }
        #expect(Set(ids).count == operations.count)
        for (name, operation) in operations {
            let responses = try #require(operation["responses"] as? [String: Any], "\(name)")
            #expect(responses.keys.contains { $0.hasPrefix("2") }, "\(name)")
        }
    }
}
