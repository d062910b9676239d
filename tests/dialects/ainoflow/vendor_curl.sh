# Create document with auto-generated key

curl -X POST https://api.ainoflow.io/api/v1/storage/json/events \
  -H "Authorization: Bearer YOUR_API_KEY" \
  -H "Content-Type: application/json" \
  -d '{"event_type": "user_login", "timestamp": "2024-01-15T10:30:00Z"}'

# Create document with specified key (fails if exists)

curl -X POST https://api.ainoflow.io/api/v1/storage/json/user-locks/document-789 \
  -H "Authorization: Bearer YOUR_API_KEY" \
  -H "Content-Type: application/json" \
  -d '{"locked_by": "user-123", "locked_at": "2024-01-15T10:30:00Z"}'

# Store a JSON document (upsert)

curl -X PUT https://api.ainoflow.io/api/v1/storage/json/config/app-settings \
  -H "Authorization: Bearer YOUR_API_KEY" \
  -H "Content-Type: application/json" \
  -d '{"theme": "dark", "language": "en"}'

# Partially update a document (patch)

curl -X PATCH https://api.ainoflow.io/api/v1/storage/json/config/app-settings \
  -H "Authorization: Bearer YOUR_API_KEY" \
  -H "Content-Type: application/json" \
  -d '{"theme": "light", "notifications": {"email": false}}'

# Store with TTL (expires in 1 hour = 3600000 ms)

curl -X PUT "https://api.ainoflow.io/api/v1/storage/json/sessions/temp-session?expiresMs=3600000" \
  -H "Authorization: Bearer YOUR_API_KEY" \
  -H "Content-Type: application/json" \
  -d '{"user_id": "user-456", "login_time": "2024-01-15T10:00:00Z"}'

# Retrieve a document

curl https://api.ainoflow.io/api/v1/storage/json/config/app-settings \
  -H "Authorization: Bearer YOUR_API_KEY"

# List all categories

curl https://api.ainoflow.io/api/v1/storage/json \
  -H "Authorization: Bearer YOUR_API_KEY"

# List items in category (sorted by size, descending)

curl "https://api.ainoflow.io/api/v1/storage/json/invoices?sortBy=size&sortOrder=desc" \
  -H "Authorization: Bearer YOUR_API_KEY"

# Get document metadata

curl https://api.ainoflow.io/api/v1/storage/json/config/app-settings/meta \
  -H "Authorization: Bearer YOUR_API_KEY"

# Delete a document

curl -X DELETE https://api.ainoflow.io/api/v1/storage/json/config/app-settings \
  -H "Authorization: Bearer YOUR_API_KEY"
