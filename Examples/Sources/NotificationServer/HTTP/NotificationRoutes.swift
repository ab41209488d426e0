import EventBusServiceKit
import Hummingbird
import ShopServer

/// The read-only HTTP interface of the notification service. `NotificationAPI` describes it for clients.
struct NotificationRoutes: Sendable {
    private let log: SQLNotificationLog

    /// Creates routes for `log`.
    init(log: SQLNotificationLog) {
        self.log = log
    }

    /// Adds the routes.
    func add(to router: Router<ServiceRequestContext>) {
        router.get("/notifications") { request, _ in try await list(request) }
        router.get("/openapi.json") { _, _ in APIDocument(json: NotificationAPI.document) }
    }

    private func list(_ request: Request) async throws -> JSONResponse<NotificationPage> {
        let query = try NotificationQuery(request.uri.queryParameters)
        let records = try await log.latest(about: query.orderID, limit: query.limit)
        return JSONResponse(NotificationPage(records))
    }
}
