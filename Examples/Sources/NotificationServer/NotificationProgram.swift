import EventBusServiceKit
import Glibc

/// The program `notification-service`.
@main
enum NotificationProgram {
    static func main() async {
        exit(await ServiceDefinition.notifications.main())
    }
}
