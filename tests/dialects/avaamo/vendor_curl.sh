# Get user storage data

curl --location --request GET 'https://cx.avaamo.com/dashboard/bots/20xxx/storages.json?per_page=1' \
--header 'Access-Token: xxxxxx8d9952499ea466fc007dxxxxxx' \
--header 'Content-Type: application/json'

# Set user storage data

curl --location --request POST 'https://cx.avaamo.com/bots_api/v1/users/dashboard_admin_test_user_368/set_storage.json' \
--header 'Access-Token: xxxxxx8d9952499ea466fc007dxxxxxx' \
--header 'Content-Type: application/json' \
--data-raw '{
      "key": "role",
      "value": "guest",
      "bot_id": 8017
  }'
